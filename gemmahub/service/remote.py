"""The use case: what a model is that a source has, before it is fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Artifact
from gemmahub.engines.sources import WEIGHTS
from gemmahub.errors import (
    FormatError,
    Gated,
    GemmahubError,
    IntegrityError,
    NetworkError,
    NotFound,
    NotInstalled,
    RangesIgnored,
    UsageError,
)
from gemmahub.formats.reader import BUILT_IN_FORMATS, FOLDER_FORMATS
from gemmahub.hub.reference import HuggingFaceReference
from gemmahub.registry.judged import judged
from gemmahub.registry.reference import parse_reference, unknown_scheme
from gemmahub.registry.sources import guarded
from gemmahub.text import format_bytes, one_line, plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.sources import Landing, OnPull, Pulled, RemoteArtifact, Source
    from gemmahub.formats.reader import ModelFile, Readers
    from gemmahub.formats.source import OpenSource
    from gemmahub.hardware.records import Machine
    from gemmahub.hub.client import Traffic
    from gemmahub.planning.header import Fetch
    from gemmahub.registry.artifacts import FileSummary
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


_FLAGS: Final = {"revision": "--revision", "projector": "--no-projector", "draft": "--draft"}


@dataclass(frozen=True, slots=True)
class Looked:
    """What a reference names. ``fetch_header`` writes the header of what is not here into a folder,
    for a dry load; None for what is here or only in the catalogue."""

    variant: Variant
    fetch_header: Fetch | None = None


def look(
    here: Installation,
    reference: str,
    machine: Machine | None = None,
    *,
    remote: bool = False,
) -> Looked:
    """The variant that a reference names: on this machine, in the catalogue, or elsewhere.

    What is neither here nor in the catalogue is read from its header in its source; ``remote``
    reads that also for what the catalogue knows, or for what is here.

    Raises: UsageError, NotFound, FormatError, IntegrityError, Gated, NetworkError.
    """
    try:
        variant, _ = here.chosen(reference, machine)
    except NotInstalled as missing:
        return _not_here(here, missing)
    if not remote:
        return Looked(variant)
    found = find(here, _name_at_hugging_face(here, variant, reference))
    described = replace(found.described(here), artifacts=variant.artifacts)
    return Looked(described, found.write_header)


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that a source has, and the source. What the source raises names it."""

    source: Source
    artifact: RemoteArtifact

    def described(self, here: Installation, summary: FileSummary | None = None) -> Variant:
        """The variant, its precision measured from the header of its weights, unless that was read
        from the file; nothing else is read. Of a format that nothing here reads, what names say.

        Raises: FormatError, IntegrityError; NetworkError, RangesIgnored, Gated.
        """
        from gemmahub.registry.artifacts import summary_of
        from gemmahub.registry.unread import unread_note

        if summary is not None:
            return self._variant(here, summary)
        try:
            return self._variant(here, summary_of(self.headers(lambda: here.readers)))
        except (FormatError, RangesIgnored):
            format_ = self.artifact.format
            if format_ in (*BUILT_IN_FORMATS, *(reader.name for reader in here.readers)):
                raise
            return self.described_by_name(here, unread_note(format_))

    def described_at_least(self, here: Installation) -> Variant:
        """The same; by its names, too, where the source gives whole files only.

        Raises: FormatError, IntegrityError; NetworkError, Gated.
        """
        try:
            return self.described(here)
        except RangesIgnored as error:
            note = f"not measured before it is downloaded: {error.message}"
            return self.described_by_name(here, note)

    def described_by_name(self, here: Installation, note: str) -> Variant:
        """What the names say, where the header cannot be had; ``note`` says why."""
        from gemmahub.precision.labels import label_in_name
        from gemmahub.registry.artifacts import FileSummary

        found = self.artifact
        label = label_in_name(found.weights[0].name) or label_in_name(found.repository)
        size = sum(file.size for file in found.weights)
        summary = FileSummary(found.format, size, (), {}, label, chat_template=False)
        return self._variant(here, summary, note)

    def landing(self, to: Path | None = None) -> Landing:
        """Where a pull would put it; see :meth:`gemmahub.engines.sources.Source.landing`."""
        with guarded(self.source):
            return self.source.landing(self.artifact, to)

    def pull(
        self, to: Path | None, on_progress: OnPull | None, cancelled: Callable[[], bool] | None
    ) -> Pulled:
        """Fetch it; see :meth:`gemmahub.engines.sources.Source.pull`."""
        more = {"cancelled": cancelled} if _takes(self.source.pull, "cancelled") else {}
        with guarded(self.source):
            return self.source.pull(self.artifact, to, on_progress, **more)

    def write_header(self, folder: Path) -> Path:
        """Sparse files of full length with the headers of its weights, for a dry load; what an
        engine loads. Raises: as :meth:`described`; OSError."""
        from gemmahub.formats.remote import write_remote

        with guarded(self.source):
            return write_remote(*self._files(), folder)

    def headers(self, readers: Readers = tuple) -> ModelFile:
        """The model as its headers describe it; read again where what was remembered made no sense.

        Raises: as :meth:`described`.
        """
        from gemmahub.formats.remote import read_remote

        folder = re.sub(r"[^\w.-]+", "-", self.artifact.name)[:80].strip(".") or "model"
        with guarded(self.source):
            try:
                return read_remote(folder, *self._files(), readers)
            except (FormatError, IntegrityError):
                forget = getattr(self.source, "forget", None)
                if forget is None or not forget(self.artifact):
                    raise
                return read_remote(folder, *self._files(), readers)

    def _files(self) -> tuple[list[str], list[str], Callable[[str], OpenSource]]:
        """The names of its weights, of all files that describe it, and what opens one."""
        from gemmahub.formats.remote import describing

        found = self.artifact
        files = {file.name: file for file in found.files}
        weights = [file.name for file in found.weights]
        others = [(file.name, file.size) for file in found.files if file.kind != WEIGHTS]
        names = describing(weights, others)
        return weights, names, lambda name: self.source.open(found, files[name])

    def _variant(self, here: Installation, summary: FileSummary, note: str = "") -> Variant:
        found = self.artifact
        weights = tuple(Path(file.name) for file in found.weights)
        artifact = Artifact(
            format=found.format,
            path=Path(found.name) if found.format in FOLDER_FORMATS else weights[0],
            files=weights,
            name=found.name,
            repository=found.repository,
            revision=found.revision,
            sha256=found.weights[0].sha256 if len(weights) == 1 else None,
            projector=Path(found.projector.name) if found.projector else None,
            reference=found.reference,
        )
        variant = here.registry.described(artifact, summary)
        (variant,) = judged([variant], here.registry.problems)
        notes = (*variant.notes, *map(one_line, found.notes), *filter(None, (note,)))
        return replace(
            variant,
            artifacts=(),
            remote=found.place or f"{found.reference} at {found.revision[:12]}",
            chat_template=bool(variant.chat_template or found.texts.get("template")),
            notes=notes,
        )


def find(
    here: Installation,
    reference: str,
    revision: str | None = None,
    *,
    projector: bool = True,
    draft: bool = False,
) -> RemoteModel:
    """What a reference of a source names, or a name of the catalogue; asks the source for it.

    Raises: UsageError for a reference of no source, or an option that the source does not know;
    NotFound where the source has no such model; NetworkError, Gated, FormatError, IntegrityError.
    """
    source = here.sources.of(reference)
    if source is None:
        raise unknown_scheme(reference)
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    options |= {} if projector else {"projector": False}
    options |= {"draft": True} if draft else {}
    for name in options:
        if not _takes(source.find, name):
            raise UsageError(f"{source.name} does not support {_FLAGS[name]}", "leave it out")
    with guarded(source):
        artifact = source.find(reference, **options)
    if artifact is None:
        raise NotFound(
            f"{source.name} has no {one_line(reference)}",
            "check the name; gemmahub list --all shows the catalogue",
        )
    if not artifact.weights:
        raise GemmahubError(f"{source.name}: {artifact.reference} has no weights", "choose another")
    return RemoteModel(source, artifact)


def _takes(method: Callable[..., Any], name: str) -> bool:
    """Whether a source's method has a parameter: those of the first contract have fewer."""
    import inspect

    found = inspect.signature(method).parameters
    return name in found or any(p.kind is p.VAR_KEYWORD for p in found.values())


def _not_here(here: Installation, missing: NotInstalled) -> Looked:
    """What a source has of what is neither here nor in the catalogue's list of files.

    Raises: what the source raises, with what the catalogue knows.
    """
    known = () if missing.hint.startswith("gemmahub pull") else (missing.hint,)
    try:
        found = find(here, missing.reference)
        variant = found.described_at_least(here)
    except (NotFound, NetworkError) as error:
        on_the_hub = isinstance(parse_reference(missing.reference), HuggingFaceReference)
        if known or not on_the_hub:
            raise NotFound(f"{missing.message} ({error.message})", missing.hint) from error
        if isinstance(error, Gated | NotFound):
            raise
        raise NetworkError(f"{missing.message}, and {error.message}", error.hint) from error
    return Looked(replace(variant, notes=(*variant.notes, *known)), found.write_header)


def _name_at_hugging_face(here: Installation, variant: Variant, reference: str) -> str:
    """What names a variant's files at Hugging Face: they may be here, or known to the catalogue.

    Raises: UsageError for one that is only here.
    """
    from gemmahub.planning.model import catalogued

    if isinstance(parsed := parse_reference(reference), HuggingFaceReference):
        return str(parsed)
    entry = catalogued(variant, here.registry.catalog)
    if entry is None:
        raise UsageError(
            f"the place of {one_line(reference)} on Hugging Face is unknown",
            "name the repository: user/repo:Q4_0",
        )
    return entry[1].reference


def moved_text(traffic: Traffic, size_bytes: int | None) -> str:
    """What was moved to look at a model: ``moved 6.40 MB of 17.2 GB in 5 requests``."""
    of = f" of {format_bytes(size_bytes)}" if size_bytes else ""
    return (
        f"downloaded {format_bytes(traffic.received_bytes)}{of} in "
        f"{plural(traffic.requests, 'request')}"
    )
