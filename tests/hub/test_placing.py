"""What was verified gets the name, whatever a hub says and whatever is in the cache already."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import DoesNotFit, GemmahubError, IntegrityError, NetworkError
from gemmahub.hub.download_loop import not_written
from gemmahub.hub.download_place import CachePlace
from gemmahub.hub.placing import write_ref
from gemmahub.hub.records import HubFile
from gemmahub.hub.source import Hub, artifact_of
from gemmahub.stores.hf_cache import HuggingFaceStore
from gemmahub.stores.identity import ContentSums
from gemmahub.testing.hub.models import small_model
from tests.hub import ways
from tests.hub.ways import need_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.testing.hub.server import HubServer
    from tests.hub.ways import Here

MODEL = small_model() + bytes(range(256)) * 200
SHA256 = hashlib.sha256(MODEL).hexdigest()
OTHER = MODEL[:-100] + b"Z" * 100
NAME = "g-Q4_0.gguf"
REPOSITORY = "models--user--gemma"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The Hugging Face cache of this test."""
    return tmp_path / "hf"


@pytest.fixture
def repository(server: HubServer) -> HubServer:
    server.add("user/gemma", {NAME: MODEL})
    return server


@pytest.fixture
def commit(repository: HubServer) -> str:
    return repository.repos["user/gemma"].head


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a private file, which no pull may touch."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private").write_text("private data\n")
    return outside


@pytest.fixture
def pull(hub: Hub, folder: Path, tmp_path: Path) -> Callable[..., Here]:
    """Pull a reference into the cache of this test."""

    def run(reference: str = "user/gemma") -> Here:
        return ways.pull(hub, reference)

    return run


def blob(folder: Path, content: str = SHA256) -> Path:
    return folder / REPOSITORY / "blobs" / content


def check(folder: Path, outside: Path) -> None:
    """Each name leads to the verified content, in huggingface_hub's layout; nothing is outside."""
    for name in folder.glob("models--*/snapshots/**/*.gguf"):
        assert name.read_bytes() == MODEL
        assert name.readlink() == Path("..", "..", "blobs", SHA256)
    assert [path.name for path in outside.rglob("*")] == ["private"]
    assert (outside / "private").read_text() == "private data\n"


# --- what a hub says ------------------------------------------------------------------------------


def headers(etag: str, commit: str) -> dict[str, str]:
    return {
        "ETag": etag, "X-Linked-Etag": etag, "X-Repo-Commit": commit,
        "X-Linked-Size": str(len(MODEL)),
    }  # fmt: skip


@pytest.mark.parametrize(
    "etag",
    ["{outside}/private", "{outside}/new/x", "../../../../outside/dots", "..", "", "/", "e" * 63,
     "E" * 64, f"{SHA256}/x", f"{SHA256}.incomplete", "..\\..\\x", "%2e%2e%2fx", "é" * 40,
     "a" * 9000],
)  # fmt: skip
@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', "{}"])
def test_an_etag_never_becomes_a_path(
    repository: HubServer, pull: Callable[..., Here], folder: Path, outside: Path, commit: str,
    etag: str, form: str,
) -> None:  # fmt: skip
    said = form.format(etag.format(outside=outside))
    blob(folder).parent.mkdir(parents=True)
    blob(folder, "e" * 63).write_bytes(OTHER)
    repository.fault(
        "status", match="/resolve/", value=200, times=None, headers=headers(said, commit),
        method="HEAD",
    )  # fmt: skip
    try:
        assert pull().path.read_bytes() == MODEL
    except NetworkError as error:  # it says itself that it means another file
        assert "has changed" in error.message  # noqa: PT017
    check(folder, outside)


def test_the_hub_is_not_asked_again_after_the_content_came(
    repository: HubServer, pull: Callable[..., Here]
) -> None:
    pull()
    assert [seen.method for seen in repository.requests("/resolve/")] == ["HEAD"]
    assert [seen.method for seen in repository.seen][-1] == "GET"


def test_a_content_range_of_thousands_of_digits_is_refused(
    repository: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    for said in (
        f"bytes 0-{'9' * 5000}/{'9' * 5000}",
        "bytes ٠-٩/٩",
        "bytes 0-9/*",
        "bytes -1--1/1",
    ):
        repository.faults.clear()
        answer = {"Content-Range": said.encode().decode("latin-1")}
        repository.fault("status", match="/blob/", value=206, times=None, headers=answer)
        with pytest.raises(NetworkError, match="another part"):
            pull()
    assert not list(folder.glob("models--*/snapshots/*/*"))


def test_a_wrong_size_does_not_cost_the_existing_file(
    repository: HubServer, pull: Callable[..., Here], hub: Hub, folder: Path, tmp_path: Path
) -> None:
    path = pull().path
    model = hub.resolve("user/gemma")
    lie = replace(model, files=(replace(model.files[0], size=len(MODEL) + 1),))
    for sums in (ContentSums(tmp_path / "summaries.sqlite"), ContentSums(None)):
        other = Hub(None, hub.catalog, folder=folder, sums=sums)
        with pytest.raises(IntegrityError, match="the file with that hash has"):
            other.pull(artifact_of(lie, projector=True))
    assert path.read_bytes() == MODEL


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("repository", name) for name in (
            "../..", "..", "user/..", "../x", "user/../x", "a/b/c", "/etc", "user", "", "a--b/c",
            "user/a..b", "user/x\n", "user/\x1b[2J", "user/" + "a" * 97, "üser/x", "user\\x/y")),
        *(("commit", text) for text in (
            "../../x", "main", "", "c" * 39, "c" * 41, "C" * 40, "c" * 40 + "\n", "g" * 40,
            "/" + "c" * 39)),
        *(("sha256", text) for text in (
            "../../x", "/etc/passwd", "d" * 39, "d" * 65, "D" * 64, "d" * 64 + "\n", "d/" * 32)),
        *(("path", name) for name in (
            "../x", "/etc/x", "a/../../x", "a//b", "", ".", "a/./b", "..\\x", "C:\\x", "a/c:x",
            "a\0b", "a\nb", "a\ud800b")),
    ],
)  # fmt: skip
def test_text_of_a_hub_becomes_no_path_unless_it_has_its_form(
    folder: Path, field: str, value: str
) -> None:
    good = HubFile("user/gemma", "c" * 40, NAME, 9, SHA256)
    assert CachePlace(folder, good).blob == blob(folder)
    with pytest.raises(IntegrityError) as failure:
        CachePlace(folder, replace(good, **{field: value}))  # type: ignore[arg-type]
    assert failure.value.hint
    assert failure.value.message.isprintable()


# --- what was put into the cache before -----------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [".locks", f".locks/{REPOSITORY}", REPOSITORY, f"{REPOSITORY}/blobs", f"{REPOSITORY}/snapshots",
     f"{REPOSITORY}/snapshots/{{commit}}"],
)  # fmt: skip
def test_nothing_is_written_through_a_link_in_place_of_a_folder(
    repository: HubServer, pull: Callable[..., Here], folder: Path, outside: Path, commit: str,
    place: str,
) -> None:  # fmt: skip
    link = folder / place.format(commit=commit)
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(IntegrityError, match="is a link") as failure:
        pull()
    assert "HF_HOME" in failure.value.hint
    check(folder, outside)
    link.unlink()
    assert pull().path.read_bytes() == MODEL


def test_content_behind_a_folder_that_is_a_link_is_not_here(
    repository: HubServer, pull: Callable[..., Here], hub: Hub, folder: Path, tmp_path: Path
) -> None:
    pull()
    shutil.move(blob(folder).parent, tmp_path / "moved")
    blob(folder).parent.symlink_to(tmp_path / "moved")
    assert need_bytes(hub, "user/gemma") == len(MODEL)
    with pytest.raises(IntegrityError, match="is a link"):
        pull()


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "private")


def _new_link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "new")


def _hard_link(path: Path, outside: Path) -> None:
    os.link(outside / "private", path)


def _pipe(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def _bytes(path: Path, outside: Path) -> None:
    path.write_bytes(OTHER)


def _short(path: Path, outside: Path) -> None:
    path.write_bytes(MODEL[:-1])


@pytest.mark.parametrize("put", [_link, _new_link, _hard_link, _pipe])
def test_something_else_in_place_of_the_partial_file_is_not_written(
    repository: HubServer, pull: Callable[..., Here], folder: Path, outside: Path,
    put: Callable[[Path, Path], None],
) -> None:  # fmt: skip
    blob(folder).parent.mkdir(parents=True)
    put(blob(folder, f"{SHA256}.incomplete"), outside)
    assert pull().moved_bytes == len(MODEL)
    check(folder, outside)


@pytest.mark.parametrize("put", [_link, _new_link, _hard_link, _pipe, _bytes, _short])
def test_a_blob_is_what_its_name_says_or_is_fetched(
    repository: HubServer, pull: Callable[..., Here], folder: Path, outside: Path, commit: str,
    put: Callable[[Path, Path], None],
) -> None:  # fmt: skip
    blob(folder).parent.mkdir(parents=True)
    put(blob(folder), outside)
    name = folder / REPOSITORY / "snapshots" / commit / NAME
    name.parent.mkdir(parents=True)
    name.symlink_to(Path("..", "..", "blobs", SHA256))
    assert pull().moved_bytes == len(MODEL)
    check(folder, outside)


def test_a_link_of_a_blob_to_the_right_bytes_elsewhere_is_not_followed(
    repository: HubServer, pull: Callable[..., Here], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_bytes(MODEL)
    blob(folder).parent.mkdir(parents=True)
    blob(folder).symlink_to(tmp_path / "elsewhere")
    assert pull().moved_bytes == len(MODEL)
    assert not blob(folder).is_symlink()


@pytest.mark.parametrize("put", [_link, _new_link, _hard_link, _pipe, _bytes, _short])
def test_a_name_that_leads_elsewhere_is_replaced(
    repository: HubServer, pull: Callable[..., Here], hub: Hub, folder: Path, outside: Path,
    put: Callable[[Path, Path], None],
) -> None:  # fmt: skip
    path = pull().path
    repository.forget()
    path.unlink()
    put(path, outside)
    assert pull().moved_bytes == 0
    assert not repository.sent(NAME)
    check(folder, outside)


def test_a_name_that_leads_to_another_blob_is_replaced(
    repository: HubServer, pull: Callable[..., Here], folder: Path, outside: Path
) -> None:
    path = pull().path
    for target in ("e" * 63, "e" * 64, f"{SHA256}x", f"../blobs/../../outside/{SHA256}"):
        with_target = path.parent.parent.parent / "blobs" / target
        if "/" not in target:
            with_target.write_bytes(OTHER)
        path.unlink()
        path.symlink_to(Path("..", "..", "blobs", target))
        assert pull().moved_bytes == 0
        check(folder, outside)


def test_a_folder_in_place_of_a_blob_or_a_name_is_an_error_in_words(
    repository: HubServer, pull: Callable[..., Here], folder: Path, commit: str
) -> None:
    for place in (blob(folder), folder / REPOSITORY / "snapshots" / commit / NAME):
        shutil.rmtree(folder, ignore_errors=True)
        (place / "x").mkdir(parents=True)
        with pytest.raises(GemmahubError) as failure:
            pull()
        assert failure.value.hint
        assert place.is_dir()


def test_a_lock_that_is_a_link_is_not_written_through(
    repository: HubServer, pull: Callable[..., Here], folder: Path, outside: Path
) -> None:
    lock = folder / ".locks" / REPOSITORY / f"{SHA256}.lock"
    lock.parent.mkdir(parents=True)
    lock.symlink_to(outside / "new")
    pull()
    check(folder, outside)


def test_a_branch_is_not_noted_through_a_link(
    repository: HubServer, pull: Callable[..., Here], hub: Hub, folder: Path, outside: Path
) -> None:
    (folder / REPOSITORY).mkdir(parents=True)
    (folder / REPOSITORY / "refs").symlink_to(outside)
    assert pull().path.read_bytes() == MODEL
    check(folder, outside)
    for revision in ("../../outside/x", "/outside", "a/../../x", "a\nb", ""):
        write_ref(folder, replace(hub.repository("user/gemma"), revision=revision))
    assert sorted(p.name for p in (folder / REPOSITORY).iterdir()) == ["blobs", "refs", "snapshots"]


# --- where links are not possible ----------------------------------------------------------------


@pytest.fixture(params=[errno.EPERM, errno.EINVAL, 0])  # EINVAL: Windows without the privilege
def no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(link: Path, target: object, target_is_directory: bool = False) -> None:
        raise OSError(request.param, "refused", str(link))

    if not request.param:  # they are switched off
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    else:
        monkeypatch.setattr(Path, "symlink_to", refuse)


@pytest.mark.usefixtures("no_links")
def test_without_links_the_name_is_the_file_itself(
    repository: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    path = pull().path
    assert not path.is_symlink()
    assert path.read_bytes() == MODEL
    assert not list(blob(folder).parent.iterdir())
    (artifact,) = HuggingFaceStore(folder).inventory().artifacts
    assert artifact.path == path
    repository.forget()
    assert pull().moved_bytes == 0
    path.write_bytes(OTHER)
    assert pull().moved_bytes == len(MODEL)
    assert path.read_bytes() == MODEL


@pytest.mark.usefixtures("no_links")
def test_without_links_a_blob_that_was_here_is_copied(
    repository: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    blob(folder).parent.mkdir(parents=True)
    blob(folder).write_bytes(MODEL)
    assert pull().moved_bytes == 0
    assert pull().path.read_bytes() == blob(folder).read_bytes() == MODEL
    assert [path.name for path in blob(folder).parent.iterdir()] == [SHA256]


# --- content that another repository has --------------------------------------------------------


@pytest.fixture
def second(repository: HubServer) -> HubServer:
    """The same file in another repository, too."""
    repository.add("other/copy", {NAME: MODEL})
    return repository


def test_content_of_another_repository_is_shared_and_not_fetched(
    second: HubServer, pull: Callable[..., Here], hub: Hub, folder: Path
) -> None:
    first = pull().path
    second.forget()
    assert need_bytes(hub, "other/copy") == 0
    again = pull("other/copy")
    assert again.moved_bytes == second.sent(NAME) == 0
    assert again.path.samefile(first)
    shutil.rmtree(folder / REPOSITORY)
    assert again.path.read_bytes() == MODEL


@pytest.mark.parametrize("put", [_link, _new_link, _pipe, _bytes, _short])
def test_content_of_another_repository_is_verified_before_it_is_shared(
    second: HubServer, pull: Callable[..., Here], folder: Path, outside: Path,
    put: Callable[[Path, Path], None],
) -> None:  # fmt: skip
    blob(folder).parent.mkdir(parents=True)
    put(blob(folder), outside)
    assert pull("other/copy").moved_bytes == len(MODEL)
    check(folder, outside)


def test_content_that_another_user_owns_is_fetched(
    second: HubServer, pull: Callable[..., Here], monkeypatch: pytest.MonkeyPatch
) -> None:
    pull()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert pull("other/copy").moved_bytes == len(MODEL)


def test_a_file_system_without_hard_links_fetches(
    second: HubServer, pull: Callable[..., Here], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    pull()
    monkeypatch.setattr(os, "link", refuse)
    assert pull("other/copy").moved_bytes == len(MODEL)


def test_a_blob_that_the_hub_client_shares_is_here_and_can_be_shared(
    second: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    from huggingface_hub.utils import _shared_blobs

    pull()
    xet_hash = "f" * 64
    assert _shared_blobs.publish_blob_to_shared_store(
        blob_path=str(blob(folder)), xet_hash=xet_hash, cache_dir=folder, expected_size=len(MODEL)
    )
    assert blob(folder).is_symlink()
    second.forget()
    assert pull().moved_bytes == pull("other/copy").moved_bytes == second.sent(NAME) == 0
    assert blob(folder).is_symlink()
    # A link into the store that is not one of the client's own is a link to elsewhere.
    stray = folder / "blobs" / "x"
    stray.write_bytes(MODEL)
    blob(folder).unlink()
    blob(folder).symlink_to(stray)
    shutil.rmtree(folder / "models--other--copy")
    assert pull().moved_bytes == len(MODEL)


# --- a disk that is full --------------------------------------------------------------------------


def _full(place: CachePlace) -> GemmahubError:
    return not_written(place, OSError(errno.ENOSPC, "No space left on device"))


def test_a_disk_without_inodes_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def statvfs(path: object) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, 1000, 900, 900, 64, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    place = CachePlace(folder, HubFile("user/gemma", "c" * 40, NAME, len(MODEL), SHA256))
    blob(folder).parent.mkdir(parents=True)
    for written in (b"", MODEL[:1000], MODEL):
        place.partial.write_bytes(written)
        error = _full(place)
        assert isinstance(error, DoesNotFit)
        assert "inodes" in error.message
        assert "remove files" in error.hint
        assert "free 0" not in error.hint


def test_a_disk_without_room_for_a_name_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # btrfs counts no inodes: 0 of 0 are free.
    def statvfs(path: object) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, 1000, 0, 0, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    place = CachePlace(folder, HubFile("user/gemma", "c" * 40, NAME, len(MODEL), SHA256))
    blob(folder).parent.mkdir(parents=True)
    blob(folder).write_bytes(MODEL)
    error = _full(place)
    assert "its name cannot be written" in error.message
    assert "free some space" in error.hint
    blob(folder).unlink()
    assert _full(place).hint.startswith("free 73.5 KB at")
