"""Hugging Face as a source: find, look, search, pull; holds the client and what is remembered."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from gemmahub.catalog.records import CatalogVariant
from gemmahub.engines.sources import (
    DRAFTER,
    PROJECTOR,
    WEIGHTS,
    Landing,
    Pulled,
    RemoteArtifact,
    RemoteFile,
)
from gemmahub.errors import GemmahubError, NotFound, UsageError
from gemmahub.hub.heads import with_head, with_head_left
from gemmahub.hub.reference import HUB_SCHEME, HuggingFaceReference, hub_reference
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.catalog.records import Catalog, CatalogFile
    from gemmahub.engines.sources import FoundRepository, OnPull
    from gemmahub.hub.client import HubClient, Traffic
    from gemmahub.hub.download import Sums
    from gemmahub.hub.headers import Headers
    from gemmahub.hub.records import HubFile, HubModel, Repository
    from gemmahub.hub.remembered import Remembered
    from gemmahub.hub.remote_file import RangedFile

Named: TypeAlias = str | HuggingFaceReference | CatalogVariant
"""What names a model on the hub."""


class Hub:
    """Hugging Face, or a server that speaks its protocol. Nothing is imported or asked until used.

    ``cache`` is gemmahub's cache folder, where listings and headers are remembered (None:
    nowhere); ``catalog`` tells which files are known. ``folder`` is the Hugging Face cache that is
    pulled into, ``sums`` what knows the sha256 of files in it. ``say`` hears one line about each
    wait and retry. The other options are those of :class:`~gemmahub.hub.client.HubClient`.

    Methods raise NotFound, Gated (a licence to accept, a login), NetworkError (also offline) and
    IntegrityError (a repository that is not to be trusted).
    """

    name = "huggingface"
    title = "Hugging Face"
    schemes = (HUB_SCHEME,)

    def __init__(
        self,
        cache: Path | None,
        catalog: Catalog,
        *,
        folder: Path | None = None,
        sums: Sums | None = None,
        say: Callable[[str], None] | None = None,
        **options: Any,
    ) -> None:
        self.catalog = catalog
        self._cache = cache
        self._folder = folder
        self._sums = sums
        self._say = say
        self._options = options

    @cached_property
    def client(self) -> HubClient:
        """What requests go through: huggingface_hub's session, with retries and counted bytes."""
        from gemmahub.hub.client import HubClient

        return HubClient(say=self._say, **self._options)

    @property
    def traffic(self) -> Traffic:
        """What was moved so far, in requests and bytes."""
        return self.client.traffic

    def repository(self, name: str, revision: str | None = None) -> Repository:
        """What a repository holds at a revision (default: main), with sizes and hashes."""
        from gemmahub.hub.listing import fetch_repository

        return fetch_repository(self.client, self._listings, name, revision)

    def resolve(self, named: Named) -> HubModel:
        """The model that a reference names, with its commit and all its files.

        Raises also: UsageError for a reference to something else.
        """
        if isinstance(named, CatalogVariant):
            return self._variant(named)
        reference = hub_reference(named) if isinstance(named, str) else named
        if reference is None:
            raise UsageError(
                f"{one_line(str(named))} is not a model on the hub", "name user/repo:Q4_0"
            )
        return self._repository(reference)

    def find(
        self,
        reference: str,
        *,
        revision: str | None = None,
        projector: bool = True,
        draft: bool = False,
    ) -> RemoteArtifact:
        """The model that a reference of Hugging Face names, or a name of the catalogue.

        A ``revision`` goes before that of the reference, and before the commit that the catalogue
        knows. With ``draft`` the head that drafts for it comes with it.

        Raises: as :meth:`resolve`; NotFound where no such head is known.
        """
        named: Named = reference
        model, _, variant = reference.partition(":")
        if (known := self.catalog.variant(model, variant)) is not None:
            named = known
            if revision is not None:
                named = HuggingFaceReference(known.repository, known.file, revision=revision)
        elif revision is not None and (parsed := hub_reference(reference)) is not None:
            named = replace(parsed, revision=revision)
        found = self.resolve(named)
        if draft:
            found = with_head(found, self.catalog, partial(self._beside, found))
        else:
            found = with_head_left(found, self.catalog)
        return artifact_of(found, projector=projector)

    def open(self, artifact: RemoteArtifact, file: RemoteFile) -> RangedFile:
        """A file of a model, read by ranges."""
        (found,) = _hub_files(artifact, file)
        return self._headers.open(found)

    def forget(self, artifact: RemoteArtifact) -> bool:
        """Forget what is remembered of a model's headers."""
        files = _hub_files(artifact, *artifact.files)
        return sum(self._headers.forget(file) for file in files) > 0

    def landing(self, artifact: RemoteArtifact, to: Path | None = None) -> Landing:
        """Where a pull lands: the Hugging Face cache, and nowhere else. Asks nobody.

        Raises also: UsageError for another folder.
        """
        from gemmahub.hub.download import landing_of

        if to is not None:
            raise UsageError(
                "models of Hugging Face go into its cache, where other tools see them",
                "leave out --to; set HF_HOME to move the cache",
            )
        folder, _ = self._store
        files = landing_of(_hub_files(artifact, *artifact.files), folder)
        need = artifact.download_bytes - sum(file.here_bytes for file in files)
        elsewhere = "set HF_HOME to a folder on another disk"
        return Landing(str(folder), folder, need, files, elsewhere)

    def pull(
        self,
        artifact: RemoteArtifact,
        to: Path | None = None,
        on_progress: OnPull | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Pulled:
        """Fetch, verify and place the files of a model, less what is here already.

        Raises also: DoesNotFit for a full disk, Cancelled; see :mod:`gemmahub.hub.download`.
        """
        from gemmahub.hub.download import Downloader

        folder, sums = self._store
        model: HubModel = artifact.record.model
        files = Downloader(
            self.client,
            sums,
            self._headers,
            folder,
            say=self._say,
            on_progress=on_progress,
            cancelled=cancelled,
        ).run(model.repository, _hub_files(artifact, *artifact.files))
        path = files[0].path if model.format == "gguf" else files[0].path.parent
        moved = sum(file.moved_bytes for file in files)
        return Pulled(model.catalogued or model.reference, path, moved, files)

    def search(self, text: str, limit: int = 20) -> tuple[FoundRepository, ...]:
        """Repositories for some words: those of the catalogue, Google's, then by downloads."""
        from gemmahub.hub.search import search

        return search(self.client, self._listings, self._headers, self.catalog, text, max(limit, 1))

    # --- how -----------------------------------------------------------------------------------

    @cached_property
    def _listings(self) -> Remembered:
        from gemmahub.hub.remembered import Remembered

        # Another endpoint is another hub: its repositories are not these.
        host = re.sub(r"\W+", "-", self.client.endpoint.partition("://")[2])
        return Remembered(self._cache / "hub" / "repositories" / host if self._cache else None)

    @cached_property
    def _headers(self) -> Headers:
        from gemmahub.hub.headers import Headers
        from gemmahub.hub.remembered import Remembered

        folder = self._cache / "hub" / "headers" if self._cache else None
        return Headers(self.client, Remembered(folder))

    @property
    def _store(self) -> tuple[Path, Sums]:
        if self._folder is None or self._sums is None:
            raise ValueError("this hub was given no folder to pull into, or no sums")
        return self._folder, self._sums

    def _repository(self, reference: HuggingFaceReference) -> HubModel:
        from gemmahub.hub import choose
        from gemmahub.hub.search import catalogue_entry

        repository = self.repository(reference.repository, reference.revision)
        if reference.file:
            model = choose.by_file(repository, reference.file)
        else:
            model = choose.by_label(repository, reference.label)
        variant = catalogue_entry(self.catalog, model)
        if variant is None:
            return model
        model = replace(model, catalogued=variant.reference)
        return self._with_projector(model, variant.projector) if not model.projector else model

    def _variant(self, variant: CatalogVariant) -> HubModel:
        from gemmahub.hub import choose

        notes = []
        try:
            repository = self.repository(variant.repository, variant.revision)
            model = choose.by_file(repository, variant.file)
        except NotFound:
            if variant.revision is None:
                raise
            repository = self.repository(variant.repository)
            model = choose.by_file(repository, variant.file)
            notes.append(
                f"the commit that the catalogue knows ({variant.revision[:12]}) is gone; "
                f"this is {repository.commit[:12]}"
            )
        sha256 = model.files[0].sha256
        if variant.sha256 and sha256 and sha256 != variant.sha256:
            notes.append(
                f"the file has changed since the catalogue was made: sha256 {sha256[:12]}…, "
                f"not {variant.sha256[:12]}…; the catalogue's figures may not apply"
            )
        model = replace(model, catalogued=variant.reference, notes=(*model.notes, *notes))
        return self._with_projector(model, variant.projector)

    def _with_projector(self, model: HubModel, projector: CatalogFile | None) -> HubModel:
        """With the projector that the catalogue names, which may lie in another repository."""
        if projector is None:
            return model
        try:
            found = self._beside(model, projector)
        except GemmahubError as error:
            note = f"its projector was not found: {error.message}"
            return replace(model, notes=(*model.notes, note))
        return replace(model, projector=found or model.projector)

    def _beside(self, model: HubModel, wanted: CatalogFile) -> HubFile | None:
        """A file that the catalogue names for a model, in its repository or another one."""
        if wanted.repository.lower() == model.repository.name.lower():
            files = model.repository.files
        else:
            files = self.repository(wanted.repository, wanted.revision).files
        return next((file for file in files if file.path == wanted.file), None)


class _Record(NamedTuple):
    """What an artifact keeps: the model, and its files by repository and path, for a model of
    thousands is opened file by file."""

    model: HubModel
    files: dict[tuple[str, str], HubFile]


def artifact_of(model: HubModel, *, projector: bool) -> RemoteArtifact:
    """A model on the hub as the contract has it; names of files are paths in the repository."""
    own, first = model.repository, model.files[0]
    weights, companions = set(model.files), set(model.companions)
    inside = f"/{first.path}" if model.format == "gguf" else ""

    def remote(file: HubFile) -> RemoteFile:
        beside = "config" if file in companions else PROJECTOR
        beside = DRAFTER if file == model.drafter else beside
        kind = WEIGHTS if file in weights else beside
        return RemoteFile(file.path, file.size, kind, file.sha256, file.repository)

    return RemoteArtifact(
        reference=model.reference,
        source=Hub.name,
        name=model.name,
        format=model.format,
        files=tuple(remote(f) for f in model.all_files if projector or f != model.projector),
        repository=own.name,
        revision=own.commit,
        notes=model.notes,
        licence=own.licence,
        place=f"hf.co/{own.name}{one_line(inside, 120)} at {own.commit[:12]}",
        record=_Record(model, {(f.repository, f.path): f for f in model.all_files}),
    )


def _hub_files(artifact: RemoteArtifact, *files: RemoteFile) -> list[HubFile]:
    """The records of these files of a model."""
    record: _Record = artifact.record
    return [record.files[file.repository, file.name] for file in files]
