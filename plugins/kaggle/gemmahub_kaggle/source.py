"""The source ``kaggle``: what a variation of a model is, and how it gets into kagglehub's cache."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from gemmahub.engines.sources import (
    PROJECTOR,
    WEIGHTS,
    Landing,
    LandingFile,
    Pulled,
    RemoteArtifact,
    RemoteFile,
)
from gemmahub.errors import NotFound, RangesIgnored, UsageError
from gemmahub.formats.reader import BUILT_IN_FORMATS
from gemmahub.text import format_bytes, one_line, plural
from gemmahub_kaggle.endpoint import PAGES
from gemmahub_kaggle.handle import EXAMPLE, Handle, handle_of, parsed
from gemmahub_kaggle.layout import chosen, models_in
from gemmahub_kaggle.place import VersionPlace, models_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gemmahub.engines.sources import FoundRepository, OnPull
    from gemmahub_kaggle.api import KaggleApi, KaggleModelPage, ListedFile, Variation
    from gemmahub_kaggle.fetch import Target
    from gemmahub_kaggle.layout import KaggleModel
    from gemmahub_kaggle.storage import RemoteKaggleFile

_NAMED: Final = 8
_TEXTS: Final = (".json", ".jinja", ".md", ".txt")


@dataclass(frozen=True, slots=True)
class _Record:
    """What an artifact keeps: its version, the model in it, and the files to fetch; ``whole`` where
    these are all of the version."""

    handle: Handle
    model: KaggleModel
    files: tuple[ListedFile, ...]
    whole: bool


class KaggleSource:
    """Models on Kaggle. Nothing is imported or asked until it is used."""

    name: str = "kaggle"
    title: str = "Kaggle"
    schemes: tuple[str, ...] = ("kaggle",)

    @cached_property
    def api(self) -> KaggleApi:
        """What Kaggle is asked with."""
        from gemmahub_kaggle.api import KaggleApi

        return KaggleApi()

    def bare(self, name: str) -> str | None:
        """A name of Kaggle with its framework as kagglehub spells it; asks nobody."""
        found = parsed(name) if "://" not in name else None
        return None if found is None else found.reference

    def search(self, text: str, limit: int) -> Sequence[FoundRepository]:
        """Models for some words, with their variations. Raises: NetworkError, Gated."""
        from gemmahub_kaggle.search import found_in

        with closing(self.api):
            return [found_in(page) for page in self.api.search(text, limit)[:limit]]

    def find(
        self, reference: str, *, revision: str | None = None, projector: bool = True
    ) -> RemoteArtifact | None:
        """What a variation has at its newest version, or at that of the reference; ``revision`` is
        a version. None where there is no such variation.

        Raises: UsageError for no name or version; NotFound where a variation or a file has to be
        named, with what there is; Gated, NetworkError; IntegrityError for a listing that is not to
        be trusted.
        """
        handle = handle_of(reference)
        if revision is not None:
            if not revision.isdecimal() or not int(revision):
                raise UsageError(
                    f"{one_line(revision)} is not a version", "versions are 1, 2, 3 ..."
                )
            handle = replace(handle, version=int(revision))
        with closing(self.api):
            try:
                if not handle.variation:
                    raise NotFound(handle.reference)
                newest = self.api.variation(handle)
                at = replace(handle, version=handle.version or newest.handle.version)
                files = self.api.files(at)
            except NotFound:
                self._look_around(handle)
                return None
        model = _model_of(at, files)
        notes = _notes(at, newest, files)
        return _artifact(at, model, files, notes, newest.licence, projector=projector)

    def open(self, artifact: RemoteArtifact, file: RemoteFile) -> RemoteKaggleFile:
        """A file, read by ranges. Reading raises NetworkError, Gated, IntegrityError; RangesIgnored
        where only the whole file can be had."""
        from gemmahub_kaggle.storage import RemoteKaggleFile, Storage

        record: _Record = artifact.record
        if artifact.format not in BUILT_IN_FORMATS and len(artifact.weights) > 1:
            raise RangesIgnored(
                f"{artifact.reference} consists of {len(artifact.weights):,} files that "
                "belong together",
                "inspect it after downloading it: gemmahub pull",
            )
        (listed,) = (each for each in record.files if each.name == file.name)
        return RemoteKaggleFile(Storage(self.api, record.handle), listed, self.api)

    def landing(self, artifact: RemoteArtifact, to: Path | None = None) -> Landing:
        """Where a pull lands: kagglehub's cache, or the folder ``to``. Asks nobody."""
        record: _Record = artifact.record
        target = self._target(artifact, to)
        files = tuple(
            LandingFile(target.path(file.name), target.here_bytes(file.name, file.size))
            for file in record.files
        )
        need = sum(file.size for file in record.files) - sum(file.here_bytes for file in files)
        elsewhere = "set KAGGLEHUB_CACHE to a folder on another disk, or --to a folder there"
        return Landing(str(target.folder), target.folder, need, files, elsewhere)

    def pull(
        self,
        artifact: RemoteArtifact,
        to: Path | None = None,
        on_progress: OnPull | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Pulled:
        """Fetch, verify and mark the files, less what is here already.

        Raises: NetworkError, Gated, NotFound, IntegrityError, DoesNotFit, Cancelled.
        """
        from gemmahub_kaggle.api import KaggleApi
        from gemmahub_kaggle.fetch import KaggleFetcher
        from gemmahub_kaggle.storage import Storage

        record: _Record = artifact.record
        target = self._target(artifact, to)
        with closing(KaggleApi(self.api.wait)) as api:  # its own: another pull may end meanwhile
            storage = Storage(api, record.handle, cancelled)
            fetcher = KaggleFetcher(storage, target, on_progress, cancelled)
            files = fetcher.run(record.files, whole=record.whole)
        path = target.path(record.model.path)
        reference = artifact.reference if to is None else str(path)
        moved = sum(file.moved_bytes for file in files)
        verified = tuple(file for file in files if file.name in fetcher.verified)
        return Pulled(reference, path, moved, verified)

    def _target(self, artifact: RemoteArtifact, to: Path | None) -> Target:
        from gemmahub_kaggle.fetch import Target

        if to is not None:
            return Target(to)
        place = VersionPlace(models_folder(), artifact.record.handle)
        return Target(place.folder, place)

    def _look_around(self, handle: Handle) -> None:
        """For a name that leaves the variation open, or names none that there is.

        Raises: NotFound with those that there are, unless the model itself is not there.
        """
        try:
            page = self.api.page(handle)
        except NotFound:
            return
        raise _to_choose(handle, page)


def _to_choose(handle: Handle, page: KaggleModelPage) -> NotFound:
    """The failure of a name that leaves a variation open, with what there is."""
    there = [each for each in page.variations if handle.framework in ("", each.handle.framework)]
    named = [
        replace(each.handle, version=0).reference
        + (f" ({format_bytes(each.size)})" if each.size else "")
        for each in there[:_NAMED]
    ]
    more = f", and {len(there) - _NAMED:,} more" if len(there) > _NAMED else ""
    where = f" for {handle.framework}" if handle.framework else ""
    if not there:
        other = sorted({each.handle.framework for each in page.variations})
        return NotFound(
            f"Kaggle's {handle.model_name} has no variations{where}",
            f"gemmahub search finds others; it has: {', '.join(other) or 'nothing'}",
        )
    problem = f"has {plural(len(there), 'variation')}{where}: name one"
    if handle.variation:
        count = plural(len(there), "variation")
        problem = f"is missing; {handle.model_name} has {count}{where}"
    return NotFound(
        f"{handle.reference} {problem}",
        f"gemmahub pull REF, where REF is one of {', '.join(named)}{more}",
    )


def _model_of(handle: Handle, files: Sequence[ListedFile]) -> KaggleModel:
    """The model that a handle names among the files of its version. Raises: NotFound."""
    models = models_in((file.name for file in files), handle.framework)
    if handle.file:
        if found := chosen(models, handle.file):
            return found
        raise NotFound(
            f"{replace(handle, file='').reference} has no model {one_line(handle.file)}",
            f"gemmahub pull REF, where REF is one of {_names(handle, models)}",
        )
    if len(models) == 1:
        return models[0]
    if not models:
        raise NotFound(
            f"{handle.reference} has no model among its {len(files):,} files",
            f"gemmahub search finds others; see {PAGES}/models/{handle.model_name}",
        )
    raise NotFound(
        f"{handle.reference} has {len(models)} models: name one of its files",
        f"gemmahub pull REF, where REF is one of {_names(handle, models)}",
    )


def _names(handle: Handle, models: Sequence[KaggleModel]) -> str:
    found = [replace(handle, file=model.path).reference for model in models]
    more = f", and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    return (", ".join(one_line(name, 200) for name in found[:_NAMED]) or EXAMPLE) + more


def _artifact(
    handle: Handle,
    model: KaggleModel,
    files: tuple[ListedFile, ...],
    notes: tuple[str, ...],
    licence: str,
    *,
    projector: bool,
) -> RemoteArtifact:
    alone = len(models_in((file.name for file in files), handle.framework)) == 1
    named = replace(handle, file="" if alone else model.path)
    wanted = files if alone else _own(model, files)
    if not projector:
        wanted = tuple(file for file in wanted if file.name != model.projector)
    places = {name: number for number, name in enumerate(model.weights)}
    wanted = tuple(sorted(wanted, key=lambda file: places.get(file.name, len(places))))
    last = model.path.rpartition("/")[2]
    return RemoteArtifact(
        reference=named.reference,
        source=KaggleSource.name,
        name=handle.variation if alone or not last else last,
        format=model.format,
        files=tuple(RemoteFile(f.name, f.size, _kind(f.name, model)) for f in wanted),
        repository=handle.repository,
        revision=str(handle.version),
        notes=notes,
        licence=licence,
        place=f"{PAGES.removeprefix('https://www.')}/models/{handle.name}",
        record=_Record(handle, model, wanted, len(wanted) == len(files)),
    )


def _own(model: KaggleModel, files: Sequence[ListedFile]) -> tuple[ListedFile, ...]:
    """Of a version with several models the files of one, with the texts beside it."""
    own = {*model.weights, model.projector}
    inside = f"{model.path}/" if model.folder and model.path else None
    return tuple(
        file
        for file in files
        if file.name in own or (inside is not None and file.name.startswith(inside))
    )


def _kind(name: str, model: KaggleModel) -> str:
    if name in model.weights:
        return WEIGHTS
    if name == model.projector:
        return PROJECTOR
    return "config" if name.lower().endswith(_TEXTS) else "file"


def _notes(handle: Handle, newest: Variation, files: Sequence[ListedFile]) -> tuple[str, ...]:
    from gemmahub_kaggle.fetch import total_text

    found = [
        f"{handle.framework}, version {handle.version}: {total_text(files)}",
        f"licence {newest.licence or 'not stated'}: {PAGES}/models/{handle.model_name}",
        "Kaggle lists no sha256: sizes are checked, and the MD5 of its storage if there is one",
    ]
    if newest.handle.version > handle.version:
        found.append(f"there is a newer version: {newest.handle.reference}")
    return tuple(found)
