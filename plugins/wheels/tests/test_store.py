"""The store of models in packages: joined once, checked, whole or not there."""

from __future__ import annotations

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import IntegrityError
from gemmahub_wheels.store import PACKAGES, WheelModel, WheelStore, join_parts

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = os.urandom(3000)


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """A model in three parts."""
    found = []
    for number in range(3):
        part = tmp_path / "package" / f"x.part{number}"
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(CONTENT[number * 1000 : (number + 1) * 1000])
        found.append(part)
    return found


@pytest.fixture
def store(tmp_path: Path, parts: list[Path], monkeypatch: pytest.MonkeyPatch) -> WheelStore:
    """A store that knows one package."""
    package = ModuleType("some_model_package")
    package.EXPECTED_SHA256 = hashlib.sha256(CONTENT).hexdigest()  # type: ignore[attr-defined]
    package.MODEL_NAME = "model.gguf"  # type: ignore[attr-defined]
    package.chunk_paths = lambda: parts  # type: ignore[attr-defined]
    package.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, "some_model_package", package)
    return WheelStore(tmp_path / "cache", (WheelModel("some_model_package", "user/repo"),))


def test_joins_once_and_remembers(store: WheelStore, parts: list[Path]) -> None:
    (artifact,) = store.inventory().artifacts
    assert artifact.path.read_bytes() == CONTENT
    assert artifact.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (artifact.store, artifact.repository) == ("wheels", "user/repo")
    before = artifact.path.stat().st_mtime_ns
    assert store.inventory().artifacts == (artifact,)
    assert artifact.path.stat().st_mtime_ns == before


def test_a_half_file_is_joined_again(store: WheelStore) -> None:
    (artifact,) = store.inventory().artifacts
    os.truncate(artifact.path, 1500)
    store.inventory()
    assert artifact.path.read_bytes() == CONTENT


def test_a_damaged_part_leaves_nothing(store: WheelStore, parts: list[Path]) -> None:
    parts[1].write_bytes(b"x" * 1000)
    inventory = store.inventory()
    assert inventory.artifacts == ()
    assert "sha256" in inventory.broken[0].reason
    assert store.folder is not None
    assert list(store.folder.iterdir()) == []


def test_a_missing_part_is_a_broken_entry(store: WheelStore, parts: list[Path]) -> None:
    parts[2].unlink()
    inventory = store.inventory()
    assert inventory.artifacts == ()
    assert inventory.broken[0].store == "wheels"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("EXPECTED_SHA256", odd) for odd in (None, 5, "", "x" * 64, "A" * 64, ["a" * 64])),
        *(("MODEL_NAME", odd) for odd in (None, 5, "", "../m.gguf", "/m.gguf", "a/m.gguf", "m")),
        *(("MODEL_NAME", odd) for odd in ("m\0.gguf", ".gguf", "a" * 300 + ".gguf", "\x1b.gguf")),
        *(("chunk_paths", odd) for odd in (None, 5, list, lambda: [5], lambda: [None])),
        *(("chunk_paths", odd) for odd in (lambda: 1 // 0, lambda: None, lambda: ["a\0b"])),
    ],
    ids=lambda value: "code" if callable(value) else None,
)
def test_a_package_that_says_odd_things_is_a_broken_entry(
    store: WheelStore, name: str, value: object
) -> None:
    setattr(sys.modules["some_model_package"], name, value)
    inventory = store.inventory()
    assert inventory.artifacts == ()
    assert inventory.broken[0].reason
    assert store.folder is not None
    assert not store.folder.exists() or list(store.folder.iterdir()) == []


def test_a_package_that_says_nothing_is_a_broken_entry(store: WheelStore) -> None:
    for name in ("EXPECTED_SHA256", "MODEL_NAME", "chunk_paths"):
        delattr(sys.modules["some_model_package"], name)
    assert "does not describe a model" in store.inventory().broken[0].reason


def test_a_package_that_cannot_be_imported_is_a_broken_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, text in enumerate(("raise RuntimeError('no')", "def (", "raise KeyError", "\0")):
        (tmp_path / f"broken_model_{number}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        model = WheelModel(f"broken_model_{number}", "x/y")
        assert WheelStore(tmp_path / "cache", (model,)).inventory().broken[0].reason


def test_a_folder_that_cannot_be_written(store: WheelStore) -> None:
    assert store.folder is not None
    store.folder.write_text("a file where the folder should be")
    assert store.inventory().broken[0].reason


def test_a_package_that_is_not_installed_is_nothing(tmp_path: Path) -> None:
    inventory = WheelStore(tmp_path, (WheelModel("no_such_package", "x/y"),)).inventory()
    assert (inventory.artifacts, inventory.broken) == ((), ())


def test_two_at_once_do_not_disturb_each_other(parts: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "cache" / "model.gguf"
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(join_parts, parts, target, sha256) for _ in range(24)]:
            done.result()
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_old_leftovers_of_a_killed_process_go(parts: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    old, young = folder / ".model.gguf.old", folder / ".model.gguf.young"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    join_parts(parts, folder / "model.gguf", hashlib.sha256(CONTENT).hexdigest())
    assert {path.name for path in folder.iterdir()} == {"model.gguf", ".model.gguf.young"}


def test_a_wrong_sum_is_an_integrity_error(parts: list[Path], tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        join_parts(parts, tmp_path / "model.gguf", "0" * 64)
    assert not (tmp_path / "model.gguf").exists()


def test_the_known_package_is_here() -> None:
    (artifact,) = WheelStore().inventory().artifacts
    assert len(PACKAGES) == 1
    assert artifact.path.stat().st_size == 253_113_024
    assert artifact.sha256 is not None
    assert artifact.sha256.startswith("a5fd3b62")


def test_patience_is_asked_for_until_the_model_is_joined(store: WheelStore) -> None:
    """253 MB take longer than two seconds on a slow disk, and the first command waits for them."""
    assert store.patience > 60
    store.inventory()
    assert store.patience == 0
