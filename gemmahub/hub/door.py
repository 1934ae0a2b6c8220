"""The door to the hub: resolve, look, search; holds the client and what is remembered."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from gemmahub.catalog.records import CatalogVariant
from gemmahub.errors import GemmahubError, NotFound, UsageError
from gemmahub.hub.records import HubModel
from gemmahub.hub.reference import HuggingFaceReference, hub_reference
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.catalog.records import Catalog, CatalogFile
    from gemmahub.hub.client import HubClient, Traffic
    from gemmahub.hub.download import Sums
    from gemmahub.hub.download_records import DownloadPlan, OnDownload, Pulled
    from gemmahub.hub.headers import Headers
    from gemmahub.hub.records import FoundRepository, HubFile, RemoteModel, Repository
    from gemmahub.hub.remembered import Remembered
    from gemmahub.hub.remote_file import RangedFile

Named: TypeAlias = str | HuggingFaceReference | CatalogVariant | HubModel
"""What names a model on the hub."""


class Hub:
    """Hugging Face, or a server that speaks its protocol. Nothing is imported or asked until used.

    ``cache`` is gemmahub's cache folder, where listings and headers are remembered (None:
    nowhere); ``catalog`` tells which files are known. ``say`` hears one line about each wait and
    retry. The other options are those of :class:`~gemmahub.hub.client.HubClient`.

    Methods raise NotFound, Gated (a licence to accept, a login), NetworkError (also offline) and
    IntegrityError (a repository that is not to be trusted).
    """

    def __init__(
        self,
        cache: Path | None,
        catalog: Catalog,
        *,
        endpoint: str | None = None,
        token: str | bool | None = None,
        say: Callable[[str], None] | None = None,
        wait: Callable[[float], None] | None = None,
        timeout: float | None = None,
        tries: int | None = None,
    ) -> None:
        self.catalog = catalog
        self._cache = cache
        self._endpoint = endpoint
        self._token = token
        self._say = say
        self._wait = wait
        self._timeout = timeout
        self._tries = tries

    @cached_property
    def client(self) -> HubClient:
        """What requests go through: huggingface_hub's session, with retries and counted bytes."""
        import time

        from gemmahub.hub.client import HubClient

        return HubClient(
            endpoint=self._endpoint,
            token=self._token,
            say=self._say,
            wait=self._wait or time.sleep,
            timeout=self._timeout,
            tries=self._tries,
        )

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

        ``named`` is a reference of Hugging Face or a catalogue variant.
        Raises also: UsageError for a reference to something else.
        """
        if isinstance(named, HubModel):
            return named
        if isinstance(named, CatalogVariant):
            return self._variant(named)
        reference = hub_reference(named) if isinstance(named, str) else named
        if reference is None:
            raise UsageError(
                f"{one_line(str(named))} is no model on the hub", "name user/repo:Q4_0"
            )
        return self._repository(reference)

    def open(self, file: HubFile) -> RangedFile:
        """A file as a source of bytes, for the readers in :mod:`gemmahub.formats`."""
        return self._headers.open(file)

    def remote_model(self, named: Named) -> RemoteModel:
        """The model as its header describes it, fetching no more than that.

        Raises also: FormatError and IntegrityError, as for a local file.
        """
        return self._headers.read(self.resolve(named))

    def write_remote_header(self, named: Named, folder: Path) -> Path:
        """Sparse files of full length with the model's headers, for a dry load.

        Writes into ``folder`` and returns the path to load. Raises as :meth:`remote_model`.
        """
        return self._headers.write(self.resolve(named), folder)

    def plan_download(self, named: Named, folder: Path, *, projector: bool = True) -> DownloadPlan:
        """What fetching a model into the Hugging Face cache ``folder`` would do."""
        from gemmahub.hub.download import plan_download

        return plan_download(self.resolve(named), folder, projector=projector)

    def download(
        self,
        plan: DownloadPlan,
        sums: Sums,
        *,
        on_progress: OnDownload | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Pulled:
        """Fetches, verifies and places what a plan lists, less what is here already.

        Raises also: DoesNotFit for a full disk, Cancelled; see :mod:`gemmahub.hub.download`.
        """
        from gemmahub.hub.download import Downloader

        return Downloader(
            self.client,
            sums,
            self._headers,
            say=self._say,
            on_progress=on_progress,
            cancelled=cancelled,
        ).run(plan)

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
                f"not {variant.sha256[:12]}…; what the catalogue says of it may not hold"
            )
        model = replace(model, catalogued=variant.reference, notes=(*model.notes, *notes))
        return self._with_projector(model, variant.projector)

    def _with_projector(self, model: HubModel, projector: CatalogFile | None) -> HubModel:
        """With the projector that the catalogue names, which may lie in another repository."""
        if projector is None:
            return model
        try:
            if projector.repository.lower() == model.repository.name.lower():
                files = model.repository.files
            else:
                files = self.repository(projector.repository, projector.revision).files
        except GemmahubError as error:
            note = f"its projector was not looked up: {error.message}"
            return replace(model, notes=(*model.notes, note))
        found = next((f for f in files if f.path == projector.file), None)
        return replace(model, projector=found or model.projector)
