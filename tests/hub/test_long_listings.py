"""Repositories of very many files: the work grows with their number, not with its square."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.engines.sources import PullProgress
from gemmahub.errors import GemmahubError
from gemmahub.hub import choose
from gemmahub.hub.listing import repository_of
from gemmahub.hub.records import HubFile, HubModel, Repository
from gemmahub.hub.remembered import Remembered
from gemmahub.hub.source import Hub, artifact_of
from gemmahub.service.progress import Meter, Progress
from gemmahub.stores.identity import ContentSums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gemmahub.testing.hub.server import HubServer
    from tests.conftest import Result

COMMIT = "c" * 40
MANY = 20_000
# It takes one or two; what looks at all files for each file takes minutes.
CPU_SECONDS = 30.0

SHAPES: dict[str, Callable[[int], list[str]]] = {
    "files without a label": lambda count: [f"f{n}.gguf" for n in range(count)],
    "files of one label": lambda count: [f"f{n}-Q4_0.gguf" for n in range(count)],
    "as many projectors": lambda count: [
        f"m-{n}b-Q4_0.gguf" if n % 2 else f"mmproj-{n}b.gguf" for n in range(count)
    ],
    "projectors in folders": lambda count: [
        f"{n // 4}/m.gguf" if n % 2 else f"{n // 4}/mmproj-{n}b.gguf" for n in range(count)
    ],
    "parts of one file": lambda count: [
        f"m-Q4_0-{n + 1:05}-of-{count:05}.gguf" for n in range(count)
    ],
    "model folders": lambda count: [
        f"{n // 2}/model.safetensors" if n % 2 else f"{n // 2}/config.json" for n in range(count)
    ],
    "one model folder": lambda count: [
        "config.json",
        *(f"model-{n}.safetensors" if n % 2 else f"x{n}.json" for n in range(count - 1)),
    ],
    "sizes in names": lambda count: [
        "1b-2b-3b-" * 3 + f"{n}b.gguf" if n % 2 else f"mmproj-1b-2b-{n}.gguf" for n in range(count)
    ],
}
shapes = pytest.mark.parametrize("names", SHAPES.values(), ids=SHAPES)


class Passes(tuple[HubFile, ...]):
    """The files of a listing; counts how often somebody looks through them."""

    __slots__ = ()
    seen = 0

    def __iter__(self) -> Iterator[HubFile]:
        Passes.seen += 1
        return super().__iter__()


def listing(names: list[str]) -> dict[str, Any]:
    files = [{"rfilename": name, "size": 1, "blobId": "b" * 40} for name in names]
    return {"id": "user/repo", "sha": COMMIT, "siblings": files}


def repository(names: list[str]) -> Repository:
    return repository_of(listing(names), "user/repo", "main", "https://hub.example")


def choose_all(found: Repository, last: str) -> None:
    """Every way to name a model, and each model's own name."""
    ways: tuple[Callable[[], HubModel], ...] = (
        lambda: choose.by_label(found, None),
        lambda: choose.by_label(found, "Q4_0"),
        lambda: choose.by_label(found, "no-such-label"),
        lambda: choose.by_file(found, last),
        lambda: choose.by_file(found, f"{last}x"),
    )
    for ask in ways:
        with contextlib.suppress(GemmahubError):  # the names that it has, the first few of them
            assert ask().reference
    assert all(model.reference for model in choose.models_in(found))


@shapes
def test_the_listing_is_looked_through_a_fixed_number_of_times(
    names: Callable[[int], list[str]],
) -> None:
    passes = []
    for count in (100, 800):
        files = names(count)
        found = Repository("user/repo", "main", COMMIT, Passes(repository(files).files))
        Passes.seen = 0
        choose_all(found, files[-1])
        passes.append(Passes.seen)
    assert passes[0] == passes[1] <= 40


@shapes
def test_twenty_thousand_files_take_moments(names: Callable[[int], list[str]]) -> None:
    files = names(MANY)
    begin = time.process_time()
    found = repository(files)
    for name in (files[-1], f"{files[-1]}x"):
        with contextlib.suppress(GemmahubError):
            choose.by_file(found, name)
    with contextlib.suppress(GemmahubError):
        choose.by_label(found, None)
    assert time.process_time() - begin < CPU_SECONDS


def test_a_model_of_twenty_thousand_files_is_planned_in_moments(tmp_path: Path) -> None:
    begin = time.process_time()
    model = choose.by_label(repository(SHAPES["one model folder"](MANY)), None)
    hub = Hub(None, load_catalog(), folder=tmp_path, sums=ContentSums(None))
    artifact = artifact_of(model, projector=True)
    landing = hub.landing(artifact)
    for file in artifact.files:
        hub.open(artifact, file).close()
    assert time.process_time() - begin < CPU_SECONDS
    assert landing.need_bytes == len(landing.files) == MANY


def test_the_command_line_handles_a_long_listing(
    hub_server: HubServer, command: Callable[..., Result]
) -> None:
    hub_server.add("user/repo", dict.fromkeys(SHAPES["files without a label"](4_000), b"x"))
    begin = time.process_time()
    result = command("pull", "user/repo", "--dry-run")
    assert time.process_time() - begin < CPU_SECONDS
    assert result.code == 3
    assert "4,000 models: choose one" in result.err


def test_progress_adds_up_without_looking_at_all_files_each_time() -> None:
    class Sizes(dict[str, int]):
        summed = 0

        def values(self) -> Any:
            Sizes.summed += 1
            return super().values()

    told: list[Progress] = []
    sizes = Sizes({f"f{n}": 10 for n in range(500)})
    meter = Meter(dict.fromkeys(sizes, 0), sizes, told.append, clock=lambda: 0.0)
    for name in sizes:
        meter(PullProgress(name, 0, 10))
        meter(PullProgress(name, 10, 10))
        meter(PullProgress(name, 0, 10, "verifying"))
        meter(PullProgress(name, 10, 10, "ready"))
    assert Sizes.summed == 1
    assert (told[-1].all_done_bytes, told[-1].all_bytes, told[-1].files_done) == (5000, 5000, 500)


def test_what_is_remembered_is_not_looked_through_for_each_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    before = type(tmp_path).iterdir

    def iterdir(path: Path) -> Any:
        looked.append(path)
        return before(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", iterdir)
    remembered = Remembered(tmp_path / "headers")
    for number in range(200):
        remembered.put(str(number), b"x" * 1000)
    assert len(looked) == 1
    assert remembered.get("199") == b"x" * 1000
