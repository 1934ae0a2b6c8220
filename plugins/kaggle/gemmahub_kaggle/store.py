"""kagglehub's cache as a store: what was pulled from Kaggle, by gemmahub or by kagglehub."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gemmahub.engines.contract import (
    Artifact,
    BrokenEntry,
    Inventory,
    Kept,
    Removal,
    RemovalStep,
    Unfinished,
)
from gemmahub_kaggle.handle import parsed
from gemmahub_kaggle.layout import models_in
from gemmahub_kaggle.place import VersionPlace, models_folder, versions_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gemmahub_kaggle.layout import KaggleModel
    from gemmahub_kaggle.place import CachedFile


@dataclass(frozen=True, slots=True)
class KaggleStore:
    """The models in kagglehub's cache. ``folder`` None means: where kagglehub looks.

    gemmahub itself pulls into it, so it is no other tool's.
    """

    folder: Path | None = None
    name: str = "kaggle"
    tool: str = ""

    @property
    def root(self) -> Path:
        """The folder with the models of all owners."""
        return self.folder or models_folder()

    def inventory(self) -> Inventory:
        """The models there; none where there is no cache. Of a version that is not whole those
        whose own files are."""
        artifacts: list[Artifact] = []
        broken: list[BrokenEntry] = []
        for place in versions_in(self.root):
            try:
                files = place.files()
            except OSError as error:
                reason = error.strerror or "unreadable"
                broken.append(BrokenEntry(place.folder, self.name, reason, place.handle.reference))
                continue
            here = {file.name: file for file in files if place.is_here(file.name)}
            models = models_in(here, place.handle.framework)
            if not models and place.is_whole:
                reason = "it is marked as complete but contains no model"
                broken.append(BrokenEntry(place.folder, self.name, reason, place.handle.reference))
            for model in models:
                artifact = self._artifact(place, model, here, alone=len(models) == 1)
                if model.problem:
                    broken.append(
                        BrokenEntry(artifact.path, self.name, model.problem, artifact.reference)
                    )
                else:
                    artifacts.append(artifact)
        return Inventory(tuple(artifacts), tuple(broken))

    def unfinished(self) -> list[Unfinished]:
        """What interrupted downloads left, for each version."""
        found = (self._left(place) for place in versions_in(self.root))
        return [left for left in found if left is not None]

    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        """The marks of these models, then their files; with the last model of a version all of it.

        A model that kagglehub fetched together with others, in one download with one mark, stays
        until all of them go: without the mark nobody knew that the others are whole.
        """
        steps: list[RemovalStep] = []
        kept: list[Kept] = []
        for place in versions_in(self.root):
            going = [a for a in artifacts if place.folder in (a.path, *a.path.parents)]
            if not going:
                continue
            paths = {artifact.path for artifact in going}
            names = [file.name for file in place.files() if place.is_here(file.name)]
            models = models_in(names, place.handle.framework)
            staying = [model for model in models if place.path(model.path) not in paths]
            if not staying:
                steps += _all_of(place)
            elif place.is_whole and not all(_own_mark(place, model) for model in staying):
                reason = (
                    f"kagglehub fetched it with {len(staying)} other models in one download: "
                    "remove all of them together"
                )
                kept += [Kept(artifact.path, reason) for artifact in going]
            else:
                leaving = [model for model in models if place.path(model.path) in paths]
                steps += _some_of(place, leaving, staying)
        return Removal(tuple(steps), tuple(kept))

    def discard(self, path: Path) -> str:
        """Remove a file. Nothing else can use it but by its own name."""
        path.unlink(missing_ok=True)
        return ""

    def _artifact(
        self,
        place: VersionPlace,
        model: KaggleModel,
        files: dict[str, CachedFile],
        *,
        alone: bool,
    ) -> Artifact:
        handle = place.handle if alone else replace(place.handle, file=model.path)
        known = parsed(handle.reference) == handle  # only what the grammar takes
        times = [files[name].last_used for name in model.weights]
        read = [when for when in times if when is not None]
        path = place.path(model.path)
        parts = tuple(place.path(name) for name in model.weights)
        return Artifact(
            format=model.format,
            path=path,
            files=() if model.folder else parts,
            name=place.handle.variation if alone else path.stem,
            store=self.name,
            repository=place.handle.repository,
            revision=str(place.handle.version),
            projector=place.path(model.projector) if model.projector else None,
            reference=handle.reference if known else "",
            last_used=max(read) if read else None,
        )

    def _left(self, place: VersionPlace) -> Unfinished | None:
        """What is left of a download of a version that nobody goes on with."""
        try:
            parts = [file for file in place.files() if not place.is_here(file.name)]
            archive = place.archive.stat().st_size if place.archive.is_file() else 0
        except OSError:
            return None
        if (not parts and not archive) or place.is_fetched():
            return None
        data = [place.path(file.name) for file in parts] + ([place.archive] if archive else [])
        steps = [RemovalStep(path, "data") for path in data]
        if len(parts) == len(place.files()):
            steps += _lock(place)
        steps += _folders(place, [place.path(file.name) for file in parts])
        size = sum(file.size for file in parts) + archive
        return Unfinished(place.handle.reference, size, Removal(tuple(steps)))


def _own_mark(place: VersionPlace, model: KaggleModel) -> bool:
    files = filter(None, (*model.weights, model.projector))
    return all(place.mark_of(name).is_file() for name in files)


def _all_of(place: VersionPlace) -> Iterator[RemovalStep]:
    files = place.files()
    marks = [place.mark, *(place.mark_of(file.name) for file in files)]
    yield from (RemovalStep(path, "entry") for path in marks if path.is_file())
    yield from _lock(place)
    yield from (RemovalStep(place.path(file.name), "data") for file in files)
    if place.archive.is_file():
        yield RemovalStep(place.archive, "data")
    yield from _folders(place, [place.path(file.name) for file in files])


def _some_of(
    place: VersionPlace, leaving: list[KaggleModel], staying: list[KaggleModel]
) -> Iterator[RemovalStep]:
    needed = {name for model in staying for name in (*model.weights, model.projector)}
    names = [
        name
        for model in leaving
        for name in filter(None, (*model.weights, model.projector))
        if name not in needed
    ]
    marks = [place.mark, *(place.mark_of(name) for name in names)]
    yield from (RemovalStep(path, "entry") for path in marks if path.is_file())
    yield from (RemovalStep(place.path(name), "data") for name in names)
    yield from _folders(place, [place.path(name) for name in names])


def _lock(place: VersionPlace) -> Iterator[RemovalStep]:
    if place.lock.is_file():
        yield RemovalStep(place.lock, "entry")


def _folders(place: VersionPlace, files: list[Path]) -> list[RemovalStep]:
    """The folders that may be empty then, from the deepest to the owner's."""
    root = place.root
    marks = [place.mark_of(str(path.relative_to(place.folder).as_posix()))
             for path in files if place.folder in path.parents]  # fmt: skip
    found = {
        folder
        for path in (*files, *marks, place.folder / "-", place.marks / "-")
        for folder in path.parents
        if root in folder.parents and folder.is_dir()
    }
    return [RemovalStep(path, "folder") for path in sorted(found, key=lambda p: -len(p.parts))]
