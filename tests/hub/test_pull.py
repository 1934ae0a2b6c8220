"""Pull with the real client: what arrives, what is kept, what is never fetched twice."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.sources import PullProgress
from gemmahub.errors import (
    Cancelled,
    DoesNotFit,
    Gated,
    GemmahubError,
    IntegrityError,
    NetworkError,
)
from gemmahub.hub.reporter import Reporter
from gemmahub.hub.source import Hub, artifact_of
from gemmahub.service.progress import Meter, Progress
from gemmahub.stores.hf_cache import HuggingFaceStore
from gemmahub.stores.identity import ContentSums
from gemmahub.testing.hub.content import Served
from gemmahub.testing.hub.models import mlx_folder, projector, small_model
from tests.hub import ways
from tests.hub.ways import need_bytes, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.testing.hub.server import HubServer
    from tests.hub.ways import Here

MODEL = small_model() + bytes(range(256)) * 16_000  # 4 MB: some requests' worth
SHA256 = hashlib.sha256(MODEL).hexdigest()
NAME = "g-Q4_0.gguf"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The Hugging Face cache of this test."""
    return tmp_path / "hf"


@pytest.fixture
def repository(server: HubServer) -> HubServer:
    server.add("user/gemma", {NAME: MODEL, "README.md": b"# Read me\n"})
    return server


@pytest.fixture
def pull(hub: Hub) -> Callable[..., Here]:
    """Pull a reference into the cache of this test."""

    def run(reference: str = "user/gemma", **options: Any) -> Here:
        return ways.pull(hub, reference, **options)

    return run


def runnable(folder: Path) -> list[Path]:
    """Everything that a program could take for a model: names in snapshots, complete blobs."""
    names = [p for p in folder.glob("models--*/snapshots/**/*") if not p.is_dir()]
    blobs = [p for p in folder.glob("models--*/blobs/*") if not p.name.endswith(".incomplete")]
    return names + blobs


def partial(folder: Path) -> Path:
    return folder / "models--user--gemma" / "blobs" / f"{SHA256}.incomplete"


def test_what_is_pulled_lies_where_others_look(
    repository: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    from huggingface_hub import try_to_load_from_cache

    pulled = pull()
    assert pulled.path.read_bytes() == MODEL
    assert pulled.moved_bytes == len(MODEL) == repository.sent(NAME)
    assert try_to_load_from_cache("user/gemma", NAME, cache_dir=folder) == str(pulled.path)
    (artifact,) = HuggingFaceStore(folder).inventory().artifacts
    assert (artifact.sha256, artifact.path) == (SHA256, pulled.path)
    assert not list(folder.rglob("*.incomplete"))


def test_what_is_here_and_verified_is_neither_fetched_nor_read_again(
    repository: HubServer, pull: Callable[..., Here], hub: Hub, folder: Path, tmp_path: Path
) -> None:
    first = pull()
    repository.forget()
    records: list[PullProgress] = []
    assert need_bytes(hub, "user/gemma") == 0
    # Another process: what was verified is remembered in the database.
    sums = ContentSums(tmp_path / "summaries.sqlite")
    other = Hub(None, hub.catalog, folder=folder, sums=sums)
    again = ways.pull(other, hub.find("user/gemma"), on_progress=records.append)
    assert again.path == first.path
    assert again.moved_bytes == 0
    assert not repository.requests("/resolve/")
    assert {record.phase for record in records} == {"ready"}


def test_what_another_tool_fetched_is_verified_and_not_fetched(
    repository: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    from huggingface_hub import hf_hub_download

    path = hf_hub_download("user/gemma", NAME, cache_dir=folder, endpoint=repository.endpoint)
    repository.forget()
    records: list[PullProgress] = []
    pulled = pull(on_progress=records.append)
    assert str(pulled.path) == path
    assert repository.sent(NAME) == 0
    assert "verifying" in {record.phase for record in records}


def test_a_lost_connection_is_taken_up_again(
    repository: HubServer, pull: Callable[..., Here], waits: list[float], said: list[str]
) -> None:
    for _ in range(3):
        repository.fault("break", match="/blob/", value=1_000_000)
    pulled = pull()
    assert pulled.path.read_bytes() == MODEL
    assert repository.sent_twice(NAME) == 0
    assert len(waits) == 3
    assert "trying again" in said[0]


def test_a_server_that_is_gone_leaves_what_arrived(
    repository: HubServer, pull: Callable[..., Here], folder: Path, hub: Hub
) -> None:
    repository.fault("break", match="/blob/", value=1_000_000)
    repository.fault("break", match="/blob/", value=0, times=None)
    with pytest.raises(NetworkError, match="broke"):
        pull()
    assert partial(folder).read_bytes() == MODEL[: partial(folder).stat().st_size]
    assert not runnable(folder)
    kept = partial(folder).stat().st_size
    assert need_bytes(hub, "user/gemma") == len(MODEL) - kept
    repository.faults.clear()
    assert pull().moved_bytes == len(MODEL) - kept
    assert repository.sent_twice(NAME) == 0


def test_corrupt_bytes_leave_nothing_that_runs(
    repository: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    repository.fault("corrupt", match="/blob/", value=len(MODEL) // 2)
    with pytest.raises(IntegrityError, match="not what the hub recorded"):
        pull()
    assert not runnable(folder)
    assert not partial(folder).exists()
    assert pull().path.read_bytes() == MODEL


def test_a_damaged_file_in_the_cache_is_fetched_again(
    repository: HubServer, pull: Callable[..., Here], said: list[str]
) -> None:
    path = pull().path
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    os.utime(path, ns=(1, 1))
    assert pull().path.read_bytes() == MODEL
    assert any("damaged" in line for line in said)


def test_a_partial_file_of_something_else_is_not_taken(
    repository: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    partial(folder).parent.mkdir(parents=True)
    partial(folder).write_bytes(b"x" * 1000)
    with pytest.raises(IntegrityError):
        pull()
    assert not runnable(folder)
    partial(folder).write_bytes(b"x" * (len(MODEL) + 1))  # longer than the file
    assert pull().path.read_bytes() == MODEL


def test_a_server_that_ignores_ranges(
    repository: HubServer, pull: Callable[..., Here], said: list[str]
) -> None:
    repository.fault("break", match="/blob/", value=1_000_000)
    repository.fault("ignore range", match="/blob/", times=None)
    assert pull().path.read_bytes() == MODEL
    assert any("from the beginning" in line for line in said)


def test_a_file_that_changed_meanwhile(
    repository: HubServer, pull: Callable[..., Here], hub: Hub, folder: Path
) -> None:
    found = hub.find("user/gemma")
    repository.fault("break", match="/blob/", value=1_000_000)
    repository.fault("etag", match="/blob/", times=None)
    with pytest.raises(NetworkError, match="changed"):
        hub.pull(found)
    assert not runnable(folder)
    # The new commit has another content: nothing of the old one is mixed in.
    repository.faults.clear()
    repository.add("user/gemma", {NAME: MODEL[::-1]})
    assert pull().path.read_bytes() == MODEL[::-1]


def test_a_rate_limit_is_waited_for_and_said(
    repository: HubServer, pull: Callable[..., Here], waits: list[float], said: list[str]
) -> None:
    repository.fault("status", match="/blob/", value=429, headers={"Retry-After": "17"})
    pull()
    assert waits == [17.0]
    assert "limits requests: waiting 17 s" in said[0]


def test_a_gated_repository_names_page_and_login(
    server: HubServer, hub: Hub, pull: Callable[..., Here], folder: Path
) -> None:
    server.add("user/gemma", {NAME: MODEL}, gated="manual")
    with pytest.raises(Gated) as caught:
        pull()
    assert f"{server.endpoint}/user/gemma" in caught.value.hint
    assert "hf auth login" in caught.value.hint
    assert not runnable(folder)


def test_an_address_that_expired(repository: HubServer, pull: Callable[..., Here]) -> None:
    repository.fault("break", match="/blob/", value=1_000_000)
    repository.fault("status", match="/blob/", value=403)
    assert pull().path.read_bytes() == MODEL
    assert repository.sent_twice(NAME) == 0


def test_a_folder_with_all_its_files(
    server: HubServer, pull: Callable[..., Here], tmp_path: Path
) -> None:
    source = tmp_path / "mlx"
    source.mkdir()
    files = {
        name: data if isinstance(data, bytes) else b"\x08" * 100_000
        for name, data in mlx_folder(source).items()
    }
    server.add("user/mlx", files, library="mlx")
    pulled = pull("user/mlx")
    assert {p.name for p in pulled.path.iterdir()} == {*files} - {"README.md"}
    assert all((pulled.path / p.name).read_bytes() == files[p.name] for p in pulled.files)
    server.forget()
    assert pull("user/mlx").moved_bytes == 0
    assert server.sent("config.json") == 0


def test_a_small_file_that_is_not_what_git_recorded(
    server: HubServer, pull: Callable[..., Here], tmp_path: Path, folder: Path
) -> None:
    good = {"config.json": b'{"model_type": "gemma3"}', "model.safetensors": b"\x08" * 1000}
    server.add("user/mlx", good)
    server.fault("corrupt", match="/config.json", value=3, method="GET")
    with pytest.raises(IntegrityError, match=r"config\.json"):
        pull("user/mlx")
    assert not [path for path in runnable(folder) if path.name == "config.json"]


def test_the_projector_comes_along(
    server: HubServer, hub: Hub, pull: Callable[..., Here], folder: Path
) -> None:
    server.add("user/gemma", {NAME: MODEL, "mmproj-F16.gguf": projector()})
    assert {p.name for p in pull().files} == {NAME, "mmproj-F16.gguf"}
    (artifact,) = HuggingFaceStore(folder).inventory().artifacts
    assert artifact.projector is not None
    without = hub.find("user/gemma", projector=False)
    assert [file.name for file in without.files] == [NAME]
    assert [file.path.name for file in hub.landing(without).files] == [NAME]


def test_all_parts_of_a_split_file(server: HubServer, pull: Callable[..., Here]) -> None:
    parts = {f"g-Q4_0-{n:05}-of-00002.gguf": MODEL + bytes([n]) for n in (1, 2)}
    server.add("user/gemma", parts)
    pulled = pull()
    assert pulled.path.name == "g-Q4_0-00001-of-00002.gguf"
    assert {p.name: p.read_bytes() for p in pulled.path.parent.iterdir()} == parts


def test_a_file_without_a_hash_is_refused(hub: Hub, folder: Path, repository: HubServer) -> None:
    from dataclasses import replace

    model = hub.resolve("user/gemma")
    bare = replace(model.files[0], sha256=None, blob=None)
    with pytest.raises(IntegrityError, match="no hash"):
        hub.landing(artifact_of(replace(model, files=(bare,)), projector=True))


def test_cancelling_keeps_what_arrived(
    repository: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    seen: list[PullProgress] = []

    def cancelled() -> bool:
        return partial(folder).exists() and partial(folder).stat().st_size > 1_000_000

    with pytest.raises(Cancelled):
        pull(on_progress=seen.append, cancelled=cancelled)
    kept = partial(folder).stat().st_size
    assert 1_000_000 < kept < len(MODEL)
    assert not runnable(folder)
    assert pull().moved_bytes == len(MODEL) - kept


def test_the_login_stays_with_the_hub(server: HubServer, folder: Path, hub: Hub) -> None:
    server.add("user/gemma", {NAME: MODEL}, gated="auto")
    server.allow("hf_secret", "user/gemma")
    other = Hub(
        None, hub.catalog, folder=folder, sums=ContentSums(None), token="hf_secret",
        wait=lambda s: None,
    )  # fmt: skip
    other.pull(other.find("user/gemma"))
    assert not server.leaked()


def test_a_full_disk_keeps_what_arrived(repository: HubServer, hub: Hub, folder: Path) -> None:
    resource = pytest.importorskip("resource")
    found = hub.find("user/gemma")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, before[1]))
    try:
        with pytest.raises(DoesNotFit, match="arrived and are kept") as caught:
            hub.pull(found)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "free 2" in caught.value.hint
    assert partial(folder).stat().st_size == 1_500_000
    assert not runnable(folder)
    assert hub.pull(found).moved_bytes == len(MODEL) - 1_500_000
    assert repository.requests("/blob/")[-1].range == f"bytes=1500000-{len(MODEL) - 1}"


def test_the_progress_adds_up(repository: HubServer, pull: Callable[..., Here]) -> None:
    records: list[Progress] = []
    pull(on_progress=Meter({NAME: 0}, {NAME: len(MODEL)}, records.append))
    fetching = [r for r in records if r.phase == "fetching"]
    assert [r.done_bytes for r in fetching] == sorted(r.done_bytes for r in fetching)
    assert fetching[-1].done_bytes == fetching[-1].size == len(MODEL)
    assert records[-1].phase == "ready"
    assert records[-1].all_done_bytes == records[-1].all_bytes == len(MODEL)
    assert (records[-1].files_done, records[-1].files) == (1, 1)


def test_rate_and_time_left_are_those_of_the_last_seconds() -> None:
    now, records = [0.0], list[Progress]()
    meter = Meter({"a": 0, "b": 0}, {"a": 1000, "b": 3000}, records.append, clock=lambda: now[0])
    done = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        meter(PullProgress("a", done, 1000))

    add(0)
    assert (records[-1].bytes_per_second, records[-1].seconds_left) == (None, None)
    for _ in range(4):
        now[0] += 1.0
        add(100)
    assert records[-1].bytes_per_second == pytest.approx(100.0)
    assert records[-1].seconds_left == pytest.approx(6.0)
    assert records[-1].all_seconds_left == pytest.approx(36.0)
    now[0] += 20.0  # a pause: what was before it says nothing any more
    add(100)
    assert records[-1].bytes_per_second is None


def test_what_comes_at_the_same_moment_is_not_told_again() -> None:
    now, records = [0.0], list[PullProgress]()
    reporter = Reporter({"a": 1000}, records.append, clock=lambda: now[0])
    reporter.begin("a", "fetching")
    now[0] += 1.0
    reporter.add(100)
    reporter.add(100)
    assert [record.done_bytes for record in records] == [0, 100]


def test_files_that_come_side_by_side_have_rates_of_their_own() -> None:
    now, records = [0.0], list[Progress]()
    meter = Meter({}, {"a": 1000, "b": 3000}, records.append, clock=lambda: now[0])
    for second in range(4):
        now[0] = float(second)
        meter(PullProgress("a", 100 * second, 1000))
        meter(PullProgress("b", 500 * second, 3000))
    a, b = records[-2:]
    assert (a.bytes_per_second, b.bytes_per_second) == (100.0, 500.0)
    assert b.all_seconds_left == pytest.approx((4000 - 1800) / 600)
    assert b.files_done == 0
    meter(PullProgress("a", 1000, 1000))
    meter(PullProgress("b", 3000, 3000))
    assert records[-1].files_done == 1  # the source did not say that b is ready
    meter(PullProgress("b", 3000, 3000, "ready"))
    assert records[-1].files_done == 2


def test_a_file_by_its_made_up_hash_does_not_pass(
    server: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    server.add("user/gemma", {NAME: Served.of(NAME, MODEL, "0" * 64)})
    with pytest.raises(IntegrityError):
        pull()
    assert not runnable(folder)


def test_a_file_that_has_no_name_yet_gets_it_and_is_not_fetched(
    repository: HubServer, pull: Callable[..., Here]
) -> None:
    path = pull().path
    path.unlink()  # as after a kill between the two steps
    repository.forget()
    assert pull().path.read_bytes() == MODEL
    assert repository.sent(NAME) == 0


def test_verified_content_is_named_without_a_question_to_the_hub(
    repository: HubServer, pull: Callable[..., Here], hub: Hub, folder: Path
) -> None:
    path = pull().path
    path.unlink()
    found = hub.find("user/gemma")
    commit = repository.repos["user/gemma"].head
    files = repository.repos["user/gemma"].commits[commit]
    files[NAME] = Served.of(NAME, MODEL[::-1])  # another file behind the same commit
    repository.forget()
    assert ways.pull(hub, found).path.read_bytes() == MODEL
    assert not repository.seen
    assert not list(folder.rglob("*.incomplete"))


def test_a_branch_is_noted_for_others_and_never_outside(
    repository: HubServer, hub: Hub, pull: Callable[..., Here], folder: Path
) -> None:
    from dataclasses import replace

    from gemmahub.hub.placing import write_ref

    pull()
    commit = repository.repos["user/gemma"].head
    assert (folder / "models--user--gemma" / "refs" / "main").read_text() == commit
    evil = replace(hub.repository("user/gemma"), revision="../../../outside")
    write_ref(folder, evil)
    assert not list(folder.parent.glob("outside*"))


def test_a_cache_that_cannot_be_written(
    repository: HubServer, pull: Callable[..., Here], folder: Path
) -> None:
    folder.write_text("a file where the cache should be")
    with pytest.raises(GemmahubError, match=r"exists|Not a directory"):
        pull()


def test_two_files_of_one_content_are_fetched_once(
    server: HubServer, pull: Callable[..., Here]
) -> None:
    server.add("user/gemma", {"a-Q4_0.gguf": MODEL, "mmproj-F16.gguf": MODEL})
    pulled = pull()
    assert pulled.moved_bytes == len(MODEL)
    assert [file.path.read_bytes() == MODEL for file in pulled.files] == [True, True]


def test_a_header_that_was_read_is_not_fetched_again(
    repository: HubServer, pull: Callable[..., Here], hub: Hub
) -> None:
    read(hub, "user/gemma")
    assert 0 < repository.sent(NAME) < len(MODEL) / 10
    assert pull().path.read_bytes() == MODEL
    assert repository.sent(NAME) == len(MODEL)


def test_a_header_that_was_damaged_on_its_way_does_not_stay(
    repository: HubServer, pull: Callable[..., Here], hub: Hub
) -> None:
    repository.fault("corrupt", match="/blob/", value=5000)  # in a word: nothing notices yet
    read(hub, "user/gemma")
    with pytest.raises(IntegrityError):
        pull()
    assert pull().path.read_bytes() == MODEL
