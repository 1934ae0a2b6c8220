"""kagglehub's cache as a store: with the marks of the real kagglehub, and its own downloads."""

from __future__ import annotations

import gc
import logging
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Inventory
from gemmahub.stores.removal import plan_removal, remove
from gemmahub_kaggle.handle import Handle
from gemmahub_kaggle.place import VersionPlace, models_folder
from gemmahub_kaggle.store import KaggleStore
from plugins.kaggle.tests.models import FLAX, GGUF, flax
from plugins.kaggle.tests.test_pull import CONTENT, REFERENCE, found_in, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub_kaggle.source import KaggleSource
    from plugins.kaggle.tests.fake_kaggle import RunningKaggle

NAMES = ("google", "gemma-3", "flax", "gemma3-4b-it-int4")


@pytest.fixture
def kagglehub(kaggle: RunningKaggle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The real kagglehub, whose requests go to the Kaggle of the test. It leaves sockets open."""
    import kagglehub
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, kaggle.url)
    monkeypatch.setattr(logging.getLogger("kagglehub"), "handlers", [])
    yield kagglehub
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def fill(place: VersionPlace, files: dict[str, bytes], *marked: str, whole: bool = False) -> None:
    for name, content in files.items():
        place.path(name).parent.mkdir(parents=True, exist_ok=True)
        place.path(name).write_bytes(content)
    for mark in [place.mark_of(name) for name in marked] + ([place.mark] if whole else []):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def take_away(store: KaggleStore, going: list[Artifact], data: Path) -> list[str]:
    """Removes models; why some stay."""
    plan = plan_removal(going, [store])
    assert not remove(plan, [store], data=data).failed
    return [kept.reason for kept in plan.kept]


# --- as kagglehub has it -------------------------------------------------------------------------


def test_the_layout_is_kagglehubs(kagglehub: Any, cache: Path) -> None:
    from kagglehub import cache as theirs
    from kagglehub.handle import parse_model_handle

    place = VersionPlace(cache, Handle(*NAMES, 3))
    handle = parse_model_handle(place.handle.name)
    assert str(place.folder) == theirs.get_cached_path(handle)
    assert str(place.path("a/b")) == theirs.get_cached_path(handle, "a/b")
    assert str(place.archive) == theirs.get_cached_archive_path(handle)
    assert str(place.mark) == theirs._get_completion_marker_filepath(handle)
    assert str(place.mark_of("a/b")) == theirs._get_completion_marker_filepath(handle, "a/b")
    assert models_folder() == cache


def test_kagglehub_takes_what_was_pulled(
    kagglehub: Any, kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    kaggle.add(FLAX, flax())
    name = "google/gemma-3/flax/gemma3-4b-it-int4/1"
    pulled = source.pull(found_in(source, f"kaggle://{name}"))
    sent = kaggle.sent
    path = kagglehub.model_download(name)
    assert path == str(cache / name)
    assert pulled.path == cache / name / "gemma3-4b-it-int4"
    assert kaggle.sent == sent


def test_gemmahub_takes_what_kagglehub_fetched(
    kagglehub: Any,
    kaggle: RunningKaggle,
    source: KaggleSource,
    cache: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    kaggle.add(FLAX, flax())
    name = "google/gemma-3/flax/gemma3-4b-it-int4"
    path = kagglehub.model_download(name)
    capfd.readouterr()  # its progress bars
    (artifact,) = KaggleStore(cache).inventory().artifacts
    assert (artifact.reference, artifact.format) == (f"kaggle://{name}/1", "orbax")
    assert str(artifact.path) == f"{path}/gemma3-4b-it-int4"
    found = found_in(source, f"kaggle://{name}")
    assert source.landing(found).need_bytes == 0
    assert source.pull(found).moved_bytes == 0


def test_kagglehub_continues_with_what_a_pull_left(
    kagglehub: Any, kaggle: RunningKaggle, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The storage has to give the rest from an offset, to which kagglehub appends."""
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    place = VersionPlace(cache, Handle("google", "gemma-3", "gguf", "tiny-q8_0", 1))
    fill(place, {"tiny.gguf": CONTENT[: len(CONTENT) - 1000]})
    path = kagglehub.model_download("google/gemma-3/gguf/tiny-q8_0/1")
    capfd.readouterr()
    assert tree(place.folder) == {"tiny.gguf": CONTENT}
    assert path == str(place.folder)


def test_one_file_that_kagglehub_fetched(
    kagglehub: Any, kaggle: RunningKaggle, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kaggle.add(GGUF, {"a-Q4_0.gguf": CONTENT, "b-Q8_0.gguf": CONTENT})
    kagglehub.model_download("google/gemma-3/gguf/tiny-q8_0", "a-Q4_0.gguf")
    capfd.readouterr()
    (artifact,) = KaggleStore(cache).inventory().artifacts
    assert artifact.path.name == "a-Q4_0.gguf"


# --- listing -------------------------------------------------------------------------------------


def test_every_framework_is_listed_as_what_it_is(cache: Path) -> None:
    models = {
        "flax": flax(),
        "gemmaCpp": {"4b-it-sfp.sbs": b"s" * 100, "tokenizer.spm": b"t"},
        "gguf": {"g-Q4_0.gguf": b"GGUF"},
        "pyTorch": {"model.ckpt": b"PK\x03\x04", "tokenizer.model": b"t"},
        "tfLite": {"gemma3-1b-it-int4.task": b"PK\x03\x04"},
        "transformers": {"config.json": b"{}", "model.safetensors": b"x"},
    }
    for framework, files in models.items():
        fill(VersionPlace(cache, Handle("google", "gemma-3", framework, "v", 1)), files, whole=True)
    found = KaggleStore(cache).inventory()
    assert found.broken == ()
    assert {a.reference.split("/")[4]: a.format for a in found.artifacts} == {
        "flax": "orbax", "gemmaCpp": "sbs", "gguf": "gguf", "pyTorch": "pytorch",
        "tfLite": "task", "transformers": "safetensors",
    }  # fmt: skip


def test_versions_are_listed_newest_first(cache: Path) -> None:
    for version in (2, 10, 1):
        place = VersionPlace(cache, Handle(*NAMES, version))
        fill(place, flax(), whole=True)
    found = KaggleStore(cache).inventory().artifacts
    assert [artifact.revision for artifact in found] == ["10", "2", "1"]


def test_what_is_not_kagglehubs_is_left(cache: Path, tmp_path: Path) -> None:
    fill(VersionPlace(cache, Handle(*NAMES, 1)), flax(), whole=True)
    (cache / "note.txt").write_text("x")
    (cache / "a b" / "c" / "d" / "e" / "1").mkdir(parents=True)
    (cache / "google" / "gemma-3" / "flax" / "x" / "latest").mkdir(parents=True)
    (cache / "loop").symlink_to(cache)
    assert len(KaggleStore(cache).inventory().artifacts) == 1
    assert KaggleStore(tmp_path / "none").inventory() == Inventory()


def test_a_mark_without_a_model_is_broken(cache: Path) -> None:
    fill(VersionPlace(cache, Handle(*NAMES, 1)), {"README.md": b"x"}, whole=True)
    (broken,) = KaggleStore(cache).inventory().broken
    assert "contains no model" in broken.reason
    assert broken.reference == f"kaggle://{'/'.join(NAMES)}/1"


def test_what_is_left_of_a_download(cache: Path, tmp_path: Path) -> None:
    place = VersionPlace(cache, Handle(*NAMES, 1))
    fill(place, flax())
    place.archive.write_bytes(b"a" * 1000)
    assert KaggleStore(cache).inventory() == Inventory()
    (left,) = KaggleStore(cache).unfinished()
    assert left.bytes == sum(map(len, flax().values())) + 1000
    for step in left.removal.steps:
        (step.path.rmdir if step.kind == "folder" else step.path.unlink)()
    assert tree(cache) == {}
    assert not list(cache.iterdir())


# --- removing ------------------------------------------------------------------------------------


def test_a_version_goes_with_all_of_its_files(cache: Path, tmp_path: Path) -> None:
    older, newer = (VersionPlace(cache, Handle(*NAMES, version)) for version in (1, 2))
    for place in (older, newer):
        fill(place, flax(), "tokenizer.model", whole=True)
    store = KaggleStore(cache)
    going = [a for a in store.inventory().artifacts if a.revision == "1"]
    assert take_away(store, going, tmp_path / "data") == []
    assert tree(newer.folder) == flax()
    assert newer.is_whole
    assert not older.folder.exists()
    assert not older.mark.exists()
    assert not older.marks.exists()
    assert take_away(store, list(store.inventory().artifacts), tmp_path / "data") == []
    assert not any(cache.iterdir())


def test_one_of_several_models_goes(cache: Path, tmp_path: Path) -> None:
    """As gemmahub marks them; the mark of the whole goes, too, for kagglehub believes it."""
    place = VersionPlace(cache, Handle("google", "gemma-3", "gguf", "x", 1))
    files = {"a-Q4_0.gguf": b"GGUFa", "b-Q8_0.gguf": b"GGUFb", "mmproj-f16.gguf": b"GGUFp"}
    fill(place, files, *files, whole=True)
    store = KaggleStore(cache)
    first, second = store.inventory().artifacts
    assert first.projector == second.projector == place.path("mmproj-f16.gguf")
    assert take_away(store, [first], tmp_path / "data") == []
    assert set(tree(place.folder)) == {"b-Q8_0.gguf", "mmproj-f16.gguf"}
    assert not place.is_whole
    (left,) = store.inventory().artifacts
    assert left.name == "x"


def test_one_of_several_that_kagglehub_fetched_together_stays(cache: Path, tmp_path: Path) -> None:
    place = VersionPlace(cache, Handle("google", "gemma-3", "gguf", "x", 1))
    files = {"a-Q4_0.gguf": b"GGUFa", "b-Q8_0.gguf": b"GGUFb"}
    fill(place, files, whole=True)
    store = KaggleStore(cache)
    first, second = store.inventory().artifacts
    (reason,) = take_away(store, [first], tmp_path / "data")
    assert "in one download" in reason
    assert tree(place.folder) == files
    assert take_away(store, [first, second], tmp_path / "data") == []
    assert not place.folder.exists()


def test_a_reference_finds_what_was_pulled(
    kaggle: RunningKaggle, source: KaggleSource, cache: Path
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    pulled = source.pull(found_in(source))
    (artifact,) = KaggleStore(cache).inventory().artifacts
    assert artifact.reference == pulled.reference == f"{REFERENCE}/1"
    assert artifact.path == pulled.path


def test_settings_can_leave_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from gemmahub_kaggle import gemmahub_stores

    assert [store.name for store in gemmahub_stores()] == ["kaggle"]
    monkeypatch.setenv("GEMMAHUB_STORES", "huggingface")
    assert gemmahub_stores() == []
