"""Readers, probes, stores and sources, each with one defect, and sound ones to compare them with.

``DEFECTS`` names for each the kit, and the conformance test that has to find its defect. Each is
offered by a plugin of its own: some of them would be in the others' way.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Inventory, Removal, RemovalStep
from gemmahub.errors import IntegrityError
from gemmahub.formats.source import LocalFile
from gemmahub.hardware.records import Device, Figure, Kind
from gemmahub.stores.folder import FolderStore

# This becomes a package of the test, beside copies of these two: a plugin imports its own only.
from .ledge import LedgeSource  # type: ignore  # not here

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub.engines.contract import Artifact
    from gemmahub.engines.sources import Pulled, PullProgress
    from gemmahub.formats.source import ByteSource
    from gemmahub.formats.tensor import Tensor
    from gemmahub.hardware.device_probe import Seen
    from tests.stranger.gemmahub_sandbank import SandbankReader
else:
    from .sandbank import SandbankReader

DEFECTS: Final[dict[str, tuple[str, str]]] = {}
_COUNT = [0]


def finds(kit: str, test: str) -> Callable[[type[Any]], type[Any]]:
    """Registers one for the kit and the test that finds it."""

    def register(cls: type[Any]) -> type[Any]:
        DEFECTS[cls.__name__] = kit, test
        return cls

    return register


# --- readers -------------------------------------------------------------------------------------


@finds("format", "test_the_plugin_is_loaded")
class NamedAsOurs(SandbankReader):
    name = "gguf"


@finds("format", "test_its_own_file_is_measured")
class CountsNothing(SandbankReader):
    def tensors(self, source: ByteSource) -> list[Tensor]:
        return [replace(tensor, parameters=0) for tensor in super().tensors(source)]


@finds("format", "test_files_of_other_formats_are_left")
class TakesAll(SandbankReader):
    def reads(self, path: Path) -> bool:
        return True


@finds("format", "test_the_beginning_tells_the_format")
class LooksAtTheEnd(SandbankReader):
    def reads(self, path: Path) -> bool:
        return super().reads(path) and path.stat().st_size > 5000


@finds("format", "test_bytes_come_from_the_source")
class OpensThePath(SandbankReader):
    path: Path

    def reads(self, path: Path) -> bool:
        type(self).path = path
        return super().reads(path)

    def tensors(self, source: ByteSource) -> list[Tensor]:
        assert isinstance(source, LocalFile)
        return super().tensors(source)


@finds("format", "test_no_weights_are_read")
class ReadsAll(SandbankReader):
    def tensors(self, source: ByteSource) -> list[Tensor]:
        source.read(0, source.size)
        return super().tensors(source)


@finds("format", "test_bytes_of_tensors_are_those_of_the_file")
class CountsInMemory(SandbankReader):
    def tensors(self, source: ByteSource) -> list[Tensor]:
        return [replace(t, bytes=4 * t.parameters) for t in super().tensors(source)]


@finds("format", "test_a_damaged_file_is_an_error_of_ours")
class ForeignErrorForDamage(SandbankReader):
    def tensors(self, source: ByteSource) -> list[Tensor]:
        try:
            return super().tensors(source)
        except IntegrityError as error:
            raise ValueError("damaged") from error


@finds("format", "test_a_file_that_ends_early_is_an_error_of_ours")
class TakesHalfFiles(SandbankReader):
    def tensors(self, source: ByteSource) -> list[Tensor]:
        try:
            return super().tensors(source)
        except IntegrityError:
            return []


@finds("format", "test_nothing_is_printed")
class PrintingReader(SandbankReader):
    def tensors(self, source: ByteSource) -> list[Tensor]:
        sys.stdout.write("reading\n")
        return super().tensors(source)


@finds("format", "test_the_same_file_gives_the_same")
class OddReader(SandbankReader):
    def tensors(self, source: ByteSource) -> list[Tensor]:
        _COUNT[0] += 1
        return [replace(t, parameters=t.parameters + _COUNT[0]) for t in super().tensors(source)]


# --- probes --------------------------------------------------------------------------------------


class SoundProbe:
    """Finds an NPU by two files."""

    name = "npu"

    def devices(self, seen: Seen) -> list[Device]:
        sizes = [seen.host.files.integer(f"sys/class/npu/{name}") for name in ("total", "free")]
        if None in sizes:
            return []
        return [self.device(*(Figure(size, "sysfs npu") for size in sizes))]

    def device(self, total: Figure, free: Figure) -> Device:
        return Device("npu:0", "Example NPU", "Example", Kind.DISCRETE, total, free)


class CarefulProbe(SoundProbe):
    """The same, where files may not be read."""

    def devices(self, seen: Seen) -> list[Device]:
        try:
            return super().devices(seen)
        except Exception as error:  # noqa: BLE001 - whatever the system says
            seen.problem(str(error), "look at the files")
            return []


@finds("device", "test_the_plugin_is_loaded")
class NamedAsOurProbe(CarefulProbe):
    name = "nvidia"


@finds("device", "test_its_device_is_found")
class OddId(CarefulProbe):
    def device(self, total: Figure, free: Figure) -> Device:
        return replace(super().device(total, free), id="the first")


@finds("device", "test_figures_say_where_they_come_from")
class NoSource(CarefulProbe):
    def device(self, total: Figure, free: Figure) -> Device:
        return super().device(replace(total, source=""), free)


@finds("device", "test_its_device_counts_in_plans")
class NothingFree(CarefulProbe):
    def device(self, total: Figure, free: Figure) -> Device:
        return super().device(total, Figure.unknown("nobody asked"))


@finds("device", "test_it_finds_the_same_again")
class CountsOn(CarefulProbe):
    def device(self, total: Figure, free: Figure) -> Device:
        _COUNT[0] += 1
        return replace(super().device(total, free), id=f"npu:{_COUNT[0]}")


@finds("device", "test_a_machine_without_it_is_no_problem")
class ComplainsOfNone(CarefulProbe):
    def devices(self, seen: Seen) -> list[Device]:
        found = super().devices(seen)
        if not found:
            seen.problem("there is no NPU")
        return found


@finds("device", "test_a_machine_that_refuses_is_no_failure")
class RaisesWhereRefused(SoundProbe):
    pass


@finds("device", "test_nothing_is_printed")
class PrintingProbe(CarefulProbe):
    def devices(self, seen: Seen) -> list[Device]:
        sys.stdout.write("probing\n")
        return super().devices(seen)


# --- stores --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SoundStore(FolderStore):
    """A folder, which may be missing, and whose models have names of their own."""

    name: str = "sound"

    def changed(self, artifact: Artifact) -> Artifact:
        return artifact

    def inventory(self) -> Inventory:
        if not self.root.exists():
            return Inventory()
        found = FolderStore.inventory(self)
        named = (replace(a, reference=f"sound://{a.name}") for a in found.artifacts)
        return replace(found, artifacts=tuple(map(self.changed, named)))


@finds("store", "test_the_plugin_is_loaded")
class NoInventory(SoundStore):
    inventory: Any = None


@finds("store", "test_it_is_offered")
class NamedByItsPlace(SoundStore):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, f"sound-{folder.name}" if folder.name else "sound")


@finds("store", "test_a_missing_place_is_empty")
class MakesItsPlace(SoundStore):
    def inventory(self) -> Inventory:
        (self.root / "index").mkdir(parents=True, exist_ok=True)
        return super().inventory()


@finds("store", "test_its_models_are_listed")
class OfAnotherStore(SoundStore):
    def changed(self, artifact: Artifact) -> Artifact:
        return replace(artifact, store="another")


@finds("store", "test_references_name_one_model_each")
class OneReferenceForAll(SoundStore):
    def changed(self, artifact: Artifact) -> Artifact:
        return replace(artifact, reference="sound://model:1")


@finds("store", "test_it_lists_the_same_again")
class OddNames(SoundStore):
    def changed(self, artifact: Artifact) -> Artifact:
        _COUNT[0] += 1
        return replace(artifact, name=str(_COUNT[0]))


@finds("store", "test_listing_opens_no_model")
class OpensModels(SoundStore):
    def changed(self, artifact: Artifact) -> Artifact:
        artifact.path.read_bytes()
        return artifact


@finds("store", "test_listing_changes_nothing")
class WritesAnIndex(SoundStore):
    def changed(self, artifact: Artifact) -> Artifact:
        _COUNT[0] += 1
        (self.root / "index").write_text("x" * _COUNT[0])
        return artifact


@finds("store", "test_what_is_broken_is_told")
class HidesWhatIsBroken(SoundStore):
    def inventory(self) -> Inventory:
        return replace(super().inventory(), broken=())


@finds("store", "test_nothing_is_printed")
class PrintingStore(SoundStore):
    def changed(self, artifact: Artifact) -> Artifact:
        sys.stdout.write("listing\n")
        return artifact


@finds("store", "test_a_removal_is_a_plan")
class RemovesAtOnce(SoundStore):
    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        found = FolderStore.removal(self, artifacts)
        for artifact in artifacts:
            artifact.path.unlink()
        return found


@finds("store", "test_a_removed_model_is_gone_and_others_stay")
class RemovesTheOthers(SoundStore):
    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        return Removal(tuple(RemovalStep(path, "data") for path in self.root.rglob("*.gguf")))


@finds("store", "test_discarding_what_is_gone_is_no_failure")
class DiscardsByForce(SoundStore):
    def discard(self, path: Path) -> str:
        path.unlink()
        return ""


# --- sources -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SoundSource(LedgeSource):  # type: ignore[misc]
    """That of the scaffold, and what is optional."""

    def bare(self, name: str) -> str | None:
        return f"ledge://{name}" if name.isprintable() and " " not in name else None

    def search(self, text: str, limit: int) -> list[Any]:
        return []


@finds("source", "test_the_plugin_is_loaded")
class NoScheme(SoundSource):
    def __init__(self, shelf: Path, target: Path) -> None:
        super().__init__(shelf, target, schemes="ledge")


@finds("source", "test_it_is_offered")
class OtherSchemes(SoundSource):
    def __init__(self, shelf: Path, target: Path) -> None:
        schemes = ("ledge",) if shelf.is_dir() else ("ledge", "board")
        super().__init__(shelf, target, schemes=schemes)


@finds("source", "test_a_model_is_found")
class NoSize(SoundSource):
    def find(self, reference: str) -> Any:
        found = super().find(reference)
        return found and replace(found, files=(replace(found.files[0], size=0),))


@finds("source", "test_it_finds_the_same_again")
class OddRevisions(SoundSource):
    def find(self, reference: str) -> Any:
        _COUNT[0] += 1
        found = super().find(reference)
        return found and replace(found, revision=str(_COUNT[0]))


@finds("source", "test_what_is_not_there_is_none")
class RaisesForNone(SoundSource):
    def find(self, reference: str) -> Any:
        if (found := super().find(reference)) is None:
            raise IntegrityError("there is none", "look again")
        return found


@finds("source", "test_nonsense_is_an_error_of_ours")
class ForeignErrorForNonsense(SoundSource):
    def find(self, reference: str) -> Any:
        assert ".." not in reference
        return super().find(reference)


@finds("source", "test_a_name_in_full")
class AnyName(SoundSource):
    def bare(self, name: str) -> str | None:
        return f"ledge://{name}"


@finds("source", "test_a_search_is_limited")
class NoLimit(SoundSource):
    def search(self, text: str, limit: int) -> list[Any]:
        return ["tiny"] * 50


class _FromTheStart(LocalFile):
    def read(self, offset: int, length: int) -> bytes:
        return super().read(0, length)


class _Short(LocalFile):
    def read(self, offset: int, length: int) -> bytes:
        return super().read(offset, min(length, self.size - offset))


@finds("source", "test_a_file_is_read_at_any_offset")
class ReadsFromTheStart(SoundSource):
    def open(self, artifact: Any, file: Any) -> LocalFile:
        return _FromTheStart(self.shelf / file.name)


@finds("source", "test_reading_beyond_the_end_is_an_error_of_ours")
class ReadsLess(SoundSource):
    def open(self, artifact: Any, file: Any) -> LocalFile:
        return _Short(self.shelf / file.name)


@finds("source", "test_a_landing_is_a_plan")
class LandsAtOnce(SoundSource):
    def landing(self, artifact: Any, to: Path | None = None) -> Any:
        (to or self.target).mkdir(parents=True, exist_ok=True)
        return super().landing(artifact, to)


@finds("source", "test_a_folder_is_taken_or_refused")
class IgnoresTheFolder(SoundSource):
    def landing(self, artifact: Any, to: Path | None = None) -> Any:
        return super().landing(artifact)


@finds("source", "test_a_pull_brings_the_files")
class PullsZeros(SoundSource):
    def pull(self, artifact: Any, to: Any = None, on_progress: Any = None) -> Pulled:
        done: Pulled = super().pull(artifact, to, on_progress)
        assert done.path is not None
        done.path.write_bytes(bytes(done.path.stat().st_size))
        return done


@finds("source", "test_what_is_here_is_not_fetched_again")
class FetchesAgain(SoundSource):
    def pull(self, artifact: Any, to: Any = None, on_progress: Any = None) -> Pulled:
        shutil.rmtree(to, ignore_errors=True)
        done: Pulled = super().pull(artifact, to, on_progress)
        return done


@finds("source", "test_a_pull_that_was_stopped_goes_on")
class DeafToListeners(SoundSource):
    def pull(self, artifact: Any, to: Any = None, on_progress: Any = None) -> Pulled:
        def report(progress: PullProgress) -> None:
            try:
                if on_progress is not None:
                    on_progress(progress)
            except Exception:  # noqa: BLE001, S110 - that is the defect
                pass

        done: Pulled = super().pull(artifact, to, report)
        return done


@finds("source", "test_a_pull_is_cancelled")
class NeverCancelled(SoundSource):
    def pull(
        self, artifact: Any, to: Any = None, on_progress: Any = None, cancelled: Any = None
    ) -> Pulled:
        done: Pulled = super().pull(artifact, to, on_progress)
        return done


@finds("source", "test_other_bytes_are_refused")
class ChecksNothing(SoundSource):
    def find(self, reference: str) -> Any:
        found = super().find(reference)
        return found and replace(found, files=(replace(found.files[0], sha256=None),))


@finds("source", "test_nothing_is_printed")
class PrintingSource(SoundSource):
    def find(self, reference: str) -> Any:
        sys.stdout.write("looking\n")
        return super().find(reference)


def offer(name: str) -> Any:
    """What a plugin offers of that class."""
    cls = globals()[name]
    if issubclass(cls, LedgeSource):
        return cls(Path(os.devnull), Path(os.devnull))
    return cls(Path()) if issubclass(cls, SoundStore) else cls()
