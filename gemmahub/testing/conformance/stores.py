"""The tests that every store passes: of one that only lists, and of one that removes, too."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest

from gemmahub.engines.contract import Artifact, Inventory, ManagedStore
from gemmahub.engines.guarded_store import guarded_store
from gemmahub.engines.validation import check_inventory
from gemmahub.registry.reference import SourceReference, parse_reference
from gemmahub.stores.removal import plan_removal, remove
from gemmahub.testing.conformance.base import PluginConformance, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Store

_NAMES: Final = ("first", "second")
_KINDS: Final = ("entry", "data", "folder")
_opened: list[str] | None = None
_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(arguments[0], str | bytes):
        _opened.append(os.fsdecode(arguments[0]))


@contextmanager
def _files_opened() -> Iterator[list[str]]:
    """The files that are opened in the block, by whomever in this process."""
    global _opened, _watching
    if not _watching:  # a hook of the interpreter stays for good
        _watching = True
        sys.addaudithook(_watch)
    found: list[str] = []
    _opened = found
    try:
        yield found
    finally:
        _opened = None


class StoreConformance(PluginConformance):
    """Set ``plugin`` and write the three methods; ``store_name`` chooses among several stores."""

    store_name: ClassVar[str] = ""

    def make_store(self, folder: Path) -> Store:
        """The store whose place is below ``folder``. It may be empty, or not be there."""
        raise NotImplementedError("write make_store(self, folder) -> Store")

    def add_model(self, folder: Path, name: str) -> None:
        """Put a model there as its tool would: other bytes for each name."""
        raise NotImplementedError("write add_model(self, folder, name)")

    def break_model(self, folder: Path, name: str) -> None:
        """Make of a model that was added something that should be one and is not."""
        raise NotImplementedError("write break_model(self, folder, name)")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A place with two models."""
        place = tmp_path / "place"
        for name in _NAMES:
            self.add_model(place, name)
        return place

    @pytest.fixture
    def store(self, folder: Path) -> Store:
        """The store of that place."""
        return self.make_store(folder)

    def test_it_is_offered(self, tmp_path: Path) -> None:
        """Through the plugin's entry point, under the same name."""
        offered = self._offered("gemmahub_stores", "store", guarded_store, self.store_name)
        assert offered.name == self.make_store(tmp_path).name

    def test_a_missing_place_is_empty(self, tmp_path: Path) -> None:
        """Most people do not have the tool: no models, nothing broken, nothing made."""
        assert self.make_store(tmp_path / "none").inventory() == Inventory()
        (tmp_path / "empty").mkdir()
        before = tree_of(tmp_path / "empty")
        assert self.make_store(tmp_path / "empty").inventory() == Inventory()
        assert tree_of(tmp_path / "empty") == before

    def test_its_models_are_listed(self, store: Store) -> None:
        """Each with its files, its format, a name, and the store's name."""
        found = self._models(store)
        assert len(found) == len(_NAMES)
        for artifact in found:
            assert artifact.store == store.name
            assert artifact.format
            assert artifact.name
            assert artifact.path.exists()
            assert all(file.is_file() for file in artifact.files)
            assert artifact.projector is None or artifact.projector.is_file()

    def test_references_name_one_model_each(self, store: Store) -> None:
        """In a grammar that gemmahub takes; empty where only the path names it."""
        named = [a.reference for a in self._models(store) if a.reference]
        assert len(set(named)) == len(named), "two models have one reference"
        for reference in named:
            parsed = parse_reference(reference)
            assert not isinstance(parsed, SourceReference) or str(parsed) == reference

    def test_it_lists_the_same_again(self, store: Store, folder: Path) -> None:
        """In the same order, by another object, too."""
        first = self._models(store)
        assert self._models(store) == first
        assert self._models(self.make_store(folder)) == first

    def test_listing_opens_no_model(self, store: Store) -> None:
        """It is asked on every listing: names and sizes are enough. After the first time, where a
        store prepares something."""
        files = {str(path) for artifact in self._models(store) for path in _files_of(artifact)}
        with _files_opened() as opened:
            store.inventory()
        read = files & {os.path.realpath(path) for path in opened}
        assert not read, f"opened while it listed: {sorted(read)}"

    def test_listing_changes_nothing(self, store: Store, folder: Path) -> None:
        """After the first time, where a store prepares something."""
        store.inventory()
        before = tree_of(folder)
        store.inventory()
        assert tree_of(folder) == before

    def test_what_is_broken_is_told(self, folder: Path) -> None:
        """As an entry with a reason; the other models are listed as before."""
        self.break_model(folder, _NAMES[0])
        store = self.make_store(folder)
        found = check_inventory(store.inventory(), store.name)
        assert len(found.artifacts) == 1, "the other model is not listed any more"
        (broken,) = found.broken
        assert broken.reason.strip()
        assert broken.store == store.name

    def test_nothing_is_printed(self, store: Store, capfd: pytest.CaptureFixture[str]) -> None:
        """A store does not print."""
        capfd.readouterr()
        store.inventory()
        assert capfd.readouterr() == ("", "")

    # --- removal ---------------------------------------------------------------------------------

    def test_a_removal_is_a_plan(self, store: Store, folder: Path) -> None:
        """``removal`` changes nothing, and names paths of the store; of no models, none."""
        managed = self._managed(store)
        chosen = [a for a in self._models(store) if a.path == self._models(store)[0].path]
        before = tree_of(folder)
        found = managed.removal(chosen)
        assert tree_of(folder) == before, "removal() changed something"
        assert found.steps, "nothing would be removed"
        for step in found.steps:
            assert step.kind in _KINDS
            assert managed.root in step.path.parents, f"{step.path} is not in the store"
        assert managed.removal(()).steps == ()

    def test_a_removed_model_is_gone_and_others_stay(
        self, store: Store, folder: Path, tmp_path: Path
    ) -> None:
        """Its files, and nothing that another model needs."""
        managed = self._managed(store)
        going, staying = self._models(store)
        kept = {path: path.read_bytes() for path in _files_of(staying)}
        plan = plan_removal([going], [managed], named=[store.name])
        done = remove(plan, [managed], data=tmp_path / "data")
        assert not done.failed, done
        (left,) = self._models(self.make_store(folder))
        assert left.reference == staying.reference
        assert all(path.read_bytes() == content for path, content in kept.items())
        assert not any(path.exists() for path in _files_of(going))

    def test_discarding_what_is_gone_is_no_failure(self, store: Store) -> None:
        """Another program may have been faster."""
        managed = self._managed(store)
        (path,) = _files_of(self._models(store)[0])[:1]
        path.unlink()
        assert isinstance(managed.discard(path), str)

    def _models(self, store: Store) -> list[Artifact]:
        """What it lists, each record looked at."""
        found = check_inventory(store.inventory(), store.name)
        assert not found.broken, found.broken
        return list(found.artifacts)

    def _managed(self, store: Store) -> ManagedStore:
        if not isinstance(store, ManagedStore):
            pytest.skip(f"the store {store.name} only lists: it has no removal() and discard()")
        return store


def _files_of(artifact: Artifact) -> list[Path]:
    """The files themselves, behind links."""
    files = artifact.files or tuple(p for p in artifact.path.rglob("*") if p.is_file())
    return [Path(os.path.realpath(path)) for path in files]
