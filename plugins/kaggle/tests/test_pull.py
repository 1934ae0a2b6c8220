"""What is found, and how it comes into kagglehub's cache: resumed, verified, marked."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import (
    Cancelled,
    DoesNotFit,
    GemmahubError,
    IntegrityError,
    NotFound,
    RangesIgnored,
    UsageError,
)
from gemmahub_kaggle.fetch import KaggleFetcher
from gemmahub_kaggle.handle import Handle
from gemmahub_kaggle.place import VersionPlace
from gemmahub_kaggle.store import KaggleStore
from plugins.kaggle.tests.models import FLAX, GGUF, flax, gguf, safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.sources import PullProgress, RemoteArtifact
    from gemmahub_kaggle.source import KaggleSource
    from plugins.kaggle.tests.fake_kaggle import RunningKaggle

REFERENCE = "kaggle://google/gemma-3/gguf/tiny-q8_0"
CONTENT = bytes(range(256)) * 4096  # 1 MiB


def found_in(source: KaggleSource, reference: str = REFERENCE, **options: Any) -> RemoteArtifact:
    found = source.find(reference, **options)
    assert found is not None
    return found


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- finding -------------------------------------------------------------------------------------


def test_a_variation_with_its_version_files_and_licence(
    kaggle: RunningKaggle, source: KaggleSource
) -> None:
    kaggle.add(FLAX, flax(), version=1)
    kaggle.add(FLAX, {**flax(), "README.md": b"new"}, version=2)
    found = found_in(source, "kaggle://google/gemma-3/FLAX/gemma3-4b-it-int4")
    assert found.reference == "kaggle://google/gemma-3/flax/gemma3-4b-it-int4/2"
    assert (found.revision, found.licence, found.format) == ("2", "Gemma", "orbax")
    assert found.repository == "google/gemma-3/flax/gemma3-4b-it-int4"
    assert len(found.weights) == 5
    assert found.download_bytes == sum(map(len, flax().values())) + 3
    older = found_in(source, "kaggle://google/gemma-3/flax/gemma3-4b-it-int4/1")
    assert any(f"newer version: {found.reference}" in note for note in older.notes)
    assert found_in(source, REFERENCE.replace("gguf/tiny-q8_0", "flax/gemma3-4b-it-int4"),
                    revision="1").revision == "1"  # fmt: skip


def test_a_listing_of_many_pages(kaggle: RunningKaggle, source: KaggleSource) -> None:
    files = {f"ckpt/d/{number:03}": b"x" for number in range(45)} | {"ckpt/_METADATA": b"{}"}
    kaggle.add(FLAX, files)
    kaggle.page = 20
    found = found_in(source, "kaggle://google/gemma-3/flax/gemma3-4b-it-int4")
    assert len(found.weights) == 46
    asked = [path for path in kaggle.seen if path.endswith("ListModelInstanceVersionFiles")]
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("kaggle://google/gemma-3", ("2 variations", "flax/gemma3-4b-it-int4", "gguf/tiny-q8_0")),
        ("kaggle://google/gemma-3/flax", ("1 variation for flax", "gemma3-4b-it-int4")),
        ("kaggle://google/gemma-3/keras", ("no variations for keras", "flax, gguf")),
        ("kaggle://google/gemma-3/flax/other", ("is missing", "gemma3-4b-it-int4")),
    ],
)
def test_what_is_left_open_is_listed(
    kaggle: RunningKaggle, source: KaggleSource, reference: str, said: tuple[str, ...]
) -> None:
    kaggle.add(FLAX, flax())
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    with pytest.raises(NotFound) as caught:
        source.find(reference)
    assert all(words in caught.value.in_full for words in said), caught.value.in_full


def test_several_models_in_one_version(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    files = {"tiny-Q4_0.gguf": b"4" * 1000, "tiny-Q8_0.gguf": b"8" * 2000, "README.md": b"r"}
    kaggle.add(GGUF, files)
    with pytest.raises(NotFound, match="has 2 models") as caught:
        source.find(REFERENCE)
    assert f"{REFERENCE}/1/tiny-Q4_0.gguf" in caught.value.hint
    one = found_in(source, f"{REFERENCE}/tiny-Q4_0.gguf")
    assert one.reference == f"{REFERENCE}/1/tiny-Q4_0.gguf"
    assert [file.name for file in one.files] == ["tiny-Q4_0.gguf"]
    pulled = source.pull(one)
    assert pulled.path == cache / "google/gemma-3/gguf/tiny-q8_0/1/tiny-Q4_0.gguf"
    variation = cache / "google/gemma-3/gguf/tiny-q8_0"
    assert not (variation / "1.complete").exists()
    assert (variation / ".complete/1/tiny-Q4_0.gguf.complete").is_file()
    with pytest.raises(NotFound, match="has no model none"):
        source.find(f"{REFERENCE}/1/none.gguf")


@pytest.mark.parametrize("revision", ["x", "0", "-1", "main"])
def test_what_is_not_a_version(source: KaggleSource, revision: str) -> None:
    with pytest.raises(UsageError, match="not a version"):
        source.find(REFERENCE, revision=revision)


def test_a_framework_that_there_is_not(kaggle: RunningKaggle, source: KaggleSource) -> None:
    with pytest.raises(UsageError, match="no framework nonsense"):
        source.find("kaggle://google/gemma-3/nonsense/x")


# --- into the cache ------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["FLAX", "TRANSFORMERS"])
def test_a_folder_comes_whole(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path, framework: str
) -> None:
    files = flax() if framework == "FLAX" else safetensors()
    kaggle.add(f"google/gemma-3/{framework}/x", files)
    seen: list[PullProgress] = []
    found = found_in(source, f"kaggle://google/gemma-3/{framework.lower()}/x")
    assert source.landing(found).need_bytes == found.download_bytes
    assert not cache.exists()
    pulled = source.pull(found, None, seen.append)
    place = cache / f"google/gemma-3/{framework.lower()}/x"
    assert tree(place / "1") == files
    assert (place / "1.complete").is_file()
    assert pulled.path == place / "1" / ("gemma3-4b-it-int4" if framework == "FLAX" else "")
    assert pulled.moved_bytes == found.download_bytes
    assert {progress.phase for progress in seen} == {"fetching", "verifying", "ready"}
    (artifact,) = KaggleStore(cache).inventory().artifacts
    assert artifact.reference == found.reference


def test_it_continues_where_a_connection_broke(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    kaggle.faults["drop"] = "once"
    source.pull(found_in(source))
    assert kaggle.sent < len(CONTENT) * 1.2
    assert (cache / "google/gemma-3/gguf/tiny-q8_0/1/tiny.gguf").read_bytes() == CONTENT


def test_it_continues_with_what_kagglehub_left(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    """A beginning under the file's own name, without a mark (kagglehub ``download_file``)."""
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    folder = cache / "google/gemma-3/gguf/tiny-q8_0/1"
    folder.mkdir(parents=True)
    (folder / "tiny.gguf").write_bytes(CONTENT[:600_000])
    found = found_in(source)
    assert source.landing(found).need_bytes == len(CONTENT) - 600_000
    (left,) = KaggleStore(cache).unfinished()
    assert (left.reference, left.bytes) == (found.reference, 600_000)
    pulled = source.pull(found)
    assert pulled.moved_bytes == len(CONTENT) - 600_000 == kaggle.sent
    assert KaggleStore(cache).unfinished() == []


def test_a_beginning_of_other_bytes_is_thrown_away(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    folder = cache / "google/gemma-3/gguf/tiny-q8_0/1"
    folder.mkdir(parents=True)
    (folder / "tiny.gguf").write_bytes(b"?" * 600_000)
    with pytest.raises(IntegrityError, match="another MD5"):
        source.pull(found_in(source))
    assert not (folder / "tiny.gguf").exists()
    source.pull(found_in(source))
    assert (folder / "tiny.gguf").read_bytes() == CONTENT


def test_what_was_damaged_on_the_disk_is_fetched_again(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    source.pull(found_in(source))
    path = cache / "google/gemma-3/gguf/tiny-q8_0/1/tiny.gguf"
    path.write_bytes(b"?" + CONTENT[1:])
    assert source.pull(found_in(source)).moved_bytes == len(CONTENT)
    assert path.read_bytes() == CONTENT


def test_an_address_that_expires_is_requested_again(
    kaggle: RunningKaggle, source: KaggleSource
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    found = found_in(source)
    with source.open(found, found.weights[0]) as opened:
        assert opened.read(0, 10) == CONTENT[:10]
        kaggle.signature = 2
        assert opened.read(500_000, 10) == CONTENT[500_000:500_010]


def test_without_a_checksum_the_size_has_to_do(kaggle: RunningKaggle, source: KaggleSource) -> None:
    """Objects that were put together from parts have no MD5 in Google's storage."""
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    kaggle.sums = False
    assert source.pull(found_in(source)).files == ()  # nothing says that it is verified
    kaggle.sums = True
    (file,) = source.pull(found_in(source)).files
    assert (file.name, file.moved_bytes) == ("tiny.gguf", 0)


def test_into_a_folder_of_ones_own(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path, tmp_path: Path
) -> None:
    kaggle.add(FLAX, flax())
    found = found_in(source, "kaggle://google/gemma-3/flax/gemma3-4b-it-int4")
    to = tmp_path / "mine"
    pulled = source.pull(found, to)
    assert tree(to) == flax()
    assert pulled.reference == str(to / "gemma3-4b-it-int4")
    assert not cache.exists()


def test_a_pull_is_cancelled_while_nothing_comes(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    found = found_in(source)
    kaggle.faults["/gcs/"] = "hang"
    asked = threading.Event()
    threading.Timer(0.5, asked.set).start()
    with pytest.raises(Cancelled):
        source.pull(found, cancelled=asked.is_set)
    kaggle.faults.clear()
    source.pull(found)
    assert (cache / "google/gemma-3/gguf/tiny-q8_0/1.complete").is_file()


def test_what_came_before_a_cancel_is_kept(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    seen: list[PullProgress] = []

    def half() -> bool:
        return any(progress.done_bytes >= len(CONTENT) // 2 for progress in seen)

    found = found_in(source)
    with pytest.raises(Cancelled):
        source.pull(found, None, seen.append, half)
    kept = found.download_bytes - source.landing(found).need_bytes
    assert kept >= len(CONTENT) // 2
    assert source.pull(found).moved_bytes == len(CONTENT) - kept


def test_a_second_pull_waits_for_the_first(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    from filelock import FileLock

    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    found = found_in(source)
    place = VersionPlace(cache, Handle("google", "gemma-3", "gguf", "tiny-q8_0", 1))
    place.folder.mkdir(parents=True)
    place.path("tiny.gguf").write_bytes(CONTENT[:1000])
    phases: list[str] = []
    with FileLock(place.lock):
        assert place.is_fetched()
        assert KaggleStore(cache).unfinished() == []
        with pytest.raises(Cancelled):
            source.pull(found, None, lambda p: phases.append(p.phase), lambda: bool(phases))
    assert phases == ["waiting"]
    assert source.pull(found).moved_bytes == len(CONTENT) - 1000


def test_a_disk_that_is_full_before_the_end(
    kaggle: RunningKaggle, source: KaggleSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(KaggleFetcher, "_append", full)
    with pytest.raises(DoesNotFit, match="is full"):
        source.pull(found_in(source))


def test_a_cache_that_cannot_be_written(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    cache.parent.mkdir()
    cache.write_text("no folder")
    with pytest.raises(GemmahubError, match="Not a directory") as caught:
        source.pull(found_in(source))
    assert "KAGGLEHUB_CACHE" in caught.value.hint


def test_nothing_is_written_through_links(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path, tmp_path: Path
) -> None:
    kaggle.add(FLAX, flax())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"p")
    folder = cache / "google/gemma-3/flax/gemma3-4b-it-int4/1"
    folder.mkdir(parents=True)
    (folder / "tokenizer.model").symlink_to(elsewhere / "precious")
    (folder / "gemma3-4b-it-int4").symlink_to(elsewhere)
    found = found_in(source, "kaggle://google/gemma-3/flax/gemma3-4b-it-int4")
    with pytest.raises(IntegrityError, match="is a link"):
        source.pull(found)
    (folder / "gemma3-4b-it-int4").unlink()
    source.pull(found)
    assert tree(elsewhere) == {"precious": b"p"}
    assert tree(folder) == flax()


# --- packed files --------------------------------------------------------------------------------


def packed(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_file_that_kaggle_packed_is_unpacked(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    kaggle.packed["tiny.gguf"] = packed(("tiny.gguf", CONTENT))
    found = found_in(source)
    with source.open(found, found.weights[0]) as opened, pytest.raises(RangesIgnored):
        opened.read(0, 4)
    seen: list[PullProgress] = []
    pulled = source.pull(found, None, seen.append)
    assert pulled.moved_bytes == len(kaggle.packed["tiny.gguf"])
    folder = cache / "google/gemma-3/gguf/tiny-q8_0/1"
    assert tree(folder) == {"tiny.gguf": CONTENT}
    assert all(progress.done_bytes <= progress.total_bytes for progress in seen)
    assert source.pull(found).moved_bytes == 0


@pytest.mark.parametrize(
    "members",
    [
        (("other.gguf", CONTENT),),
        (("tiny.gguf", CONTENT), ("more", b"x")),
        (("tiny.gguf", CONTENT[:-1]),),
        (("tiny.gguf", CONTENT * 3),),
        (),
    ],
)
def test_archives_that_are_refused(
    kaggle: RunningKaggle,
    source: KaggleSource,
    cache: Path,
    members: tuple[tuple[str, bytes], ...],
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    kaggle.packed["tiny.gguf"] = packed(*members)
    with pytest.raises(IntegrityError, match="refused"):
        source.pull(found_in(source))
    assert tree(cache / "google/gemma-3/gguf/tiny-q8_0/1") == {}


def test_an_archive_writes_nowhere_else(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path, tmp_path: Path
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    kaggle.packed["tiny.gguf"] = packed(("../../../../../../outside/tiny.gguf", CONTENT))
    source.pull(found_in(source))
    assert tree(cache / "google/gemma-3/gguf/tiny-q8_0/1") == {"tiny.gguf": CONTENT}
    assert not list(tmp_path.rglob("outside"))


def test_a_damaged_archive(kaggle: RunningKaggle, source: KaggleSource) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    whole = packed(("tiny.gguf", CONTENT))
    kaggle.packed["tiny.gguf"] = whole[:500] + b"????" + whole[504:]
    with pytest.raises(IntegrityError):
        source.pull(found_in(source))


def test_the_content_is_what_is_listed(kaggle: RunningKaggle, source: KaggleSource) -> None:
    """A header is measured before anything is fetched: of a real file."""
    content = gguf()
    kaggle.add(GGUF, {"tiny.gguf": content})
    found = found_in(source)
    with source.open(replace(found), found.weights[0]) as opened:
        whole = opened.read(0, len(content))
    assert hashlib.sha256(whole).digest() == hashlib.sha256(content).digest()


def test_a_pull_is_cancelled_while_it_waits_as_told(
    kaggle: RunningKaggle, source: KaggleSource
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    found = found_in(source)
    waits: list[float] = []
    source.api.wait = waits.append
    kaggle.faults["/Download"] = "429"
    with pytest.raises(Cancelled):
        source.pull(found, cancelled=lambda: bool(waits))
    assert len(waits) == 1


def test_two_pulls_at_once(kaggle: RunningKaggle, source: KaggleSource, cache: Path) -> None:
    """As the UI makes them: that one ends is nothing to the other."""
    names = ("a", "b", "c")
    for name in names:
        kaggle.add(f"google/gemma-3/GGUF/{name}", {"tiny.gguf": CONTENT * 2})
    found = [found_in(source, f"kaggle://google/gemma-3/gguf/{name}") for name in names]
    threads = [threading.Thread(target=source.pull, args=(each,)) for each in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        assert (cache / "google/gemma-3/gguf" / name / "1.complete").is_file()
