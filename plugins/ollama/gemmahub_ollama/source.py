"""The source ``ollama``: what a tag of a registry is, and how it comes here."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from gemmahub.engines.sources import (
    PROJECTOR,
    WEIGHTS,
    Landing,
    Pulled,
    PullProgress,
    RemoteArtifact,
    RemoteFile,
)
from gemmahub.errors import (
    BackendMissing,
    Cancelled,
    FormatError,
    IntegrityError,
    NotFound,
    UsageError,
)
from gemmahub.text import format_bytes, one_line
from gemmahub_ollama import manifests
from gemmahub_ollama.address import server_address
from gemmahub_ollama.place import TagAddress, name_in_full, place_of
from gemmahub_ollama.registry import RegistryClient
from gemmahub_ollama.remote_blob import RemoteBlob

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.engines.sources import OnPull
    from gemmahub_ollama.manifests import Layer, Manifest
    from gemmahub_ollama.server import OllamaServer

_SCHEME: Final = "ollama://"
_TYPE: Final = "application/vnd.ollama.image."
_TEXTS: Final = ("template", "params", "system")
_MODELS: Final = (WEIGHTS, PROJECTOR)
_LARGEST_TEXT: Final = 64 * 1024
_WITHOUT_PROJECTOR: Final = "without projector"


class OllamaSource:
    """Ollama's registry, and others that speak its protocol. Nothing is asked until used."""

    name: str = "ollama"
    title: str = "Ollama's registry"
    schemes: tuple[str, ...] = ("ollama",)

    @cached_property
    def client(self) -> RegistryClient:
        """What requests go through; counts what was moved."""
        return RegistryClient()

    def find(
        self, reference: str, *, revision: str | None = None, projector: bool = True
    ) -> RemoteArtifact | None:
        """What a tag consists of, from its manifest; None when there is no such tag.

        Raises: UsageError, also for a ``revision``; NetworkError, Gated; IntegrityError for a
        manifest that is none; FormatError for a model without a file.
        """
        if revision is not None:
            raise UsageError("Ollama's registry has tags, not revisions", "leave out --revision")
        with self.client:
            found = self._find(place_of(reference.removeprefix(_SCHEME)))
        if projector or found is None:
            return found
        files = tuple(file for file in found.files if file.kind != PROJECTOR)
        return replace(found, files=files, record=_WITHOUT_PROJECTOR)

    def bare(self, name: str) -> str | None:
        """``gemma3`` is ``ollama://gemma3:latest``, as it is to Ollama; asks nobody."""
        full = name_in_full(name)
        return None if full is None else f"{_SCHEME}{full}"

    def _find(self, place: TagAddress) -> RemoteArtifact | None:
        try:
            text = self.client.manifest(place)
        except NotFound:
            return None
        try:
            found = manifests.parse_manifest(text, lambda sha: self.client.manifest(place, sha))
        except manifests.BadManifest as error:
            raise IntegrityError(
                f"{place.name} in {place.host}: {error}",
                "try again; if it persists, the registry is broken",
            ) from None
        return self._artifact(place, text, found)

    def open(self, artifact: RemoteArtifact, file: RemoteFile) -> RemoteBlob:
        """A layer, read by ranges. Reading raises NetworkError, Gated, NotFound, IntegrityError."""
        if file.sha256 is None:
            raise IntegrityError(f"{one_line(file.name)} has no digest", "pull it as a whole")
        place = place_of(artifact.reference.removeprefix(_SCHEME))
        return RemoteBlob(self.client, place, file.name, file.sha256, file.size)

    def landing(self, artifact: RemoteArtifact, to: Path | None = None) -> Landing:
        """Where a pull lands: the store of the Ollama server, or the folder ``to``.

        Raises: BackendMissing when there is neither.
        """
        from gemmahub_ollama.download import missing_bytes
        from gemmahub_ollama.store import ollama_stores

        if to is not None:
            how = f"{to} (the file alone, from the registry)"
            return Landing(how, to, missing_bytes(artifact, to))
        _check_whole(artifact)
        with _server() as server:
            version, at = one_line(server.version(), 40), server.address.shown
            how = f"Ollama's store, fetched by the server {version} at {at}"
        root = ollama_stores()[0].root if server_address().local else None
        need = sum(
            file.size
            for file in artifact.files
            if root is None or not manifests.blob_path(root, file.sha256 or "-").exists()
        )
        return Landing(how, root, need)

    def pull(
        self,
        artifact: RemoteArtifact,
        to: Path | None = None,
        on_progress: OnPull | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Pulled:
        """Let the Ollama server fetch it, or fetch its files into the folder ``to``.

        Raises: UsageError for a server and files without the projector; BackendMissing, LoadFailed,
        NetworkError, Gated, IntegrityError, DoesNotFit, Cancelled.
        """

        def report(progress: PullProgress) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled("cancelled", "nothing that arrived is lost: pull it again")
            if on_progress is not None:
                on_progress(progress)

        place = place_of(artifact.reference.removeprefix(_SCHEME))
        if to is not None:
            from gemmahub_ollama.download import download

            with self.client:
                return download(self.client, place, artifact, to, report)
        _check_whole(artifact)
        return self._by_server(place, artifact, report)

    def _by_server(
        self, place: TagAddress, artifact: RemoteArtifact, on_progress: OnPull
    ) -> Pulled:
        moved: dict[str, int] = {}
        first: dict[str, int] = {}

        def report(_: str, digest: str, done: int, total: int) -> None:
            first.setdefault(digest, done)
            moved[digest] = done - first[digest]
            name = _name_of(artifact, digest)
            on_progress(PullProgress(name, done, total))

        with _server() as server:
            insecure = place.base.startswith("http://")
            server.pull(place.full_name, report, insecure=insecure)
        return Pulled(f"{_SCHEME}{place.full_name}", None, sum(moved.values()))

    def _artifact(self, place: TagAddress, text: bytes, manifest: Manifest) -> RemoteArtifact:
        from hashlib import sha256

        if not any(layer.media_type == manifests.MODEL for layer in manifest.layers):
            tensors = any(layer.media_type == manifests.TENSOR for layer in manifest.layers)
            raise FormatError(
                f"{place.name} has no model file: "
                + ("it has one blob per tensor" if tensors else "it runs on another service"),
                "choose a tag with a GGUF file",
            )
        files = tuple(_file(place, layer) for layer in manifest.layers)
        return RemoteArtifact(
            reference=f"{_SCHEME}{place.name}",
            source=self.name,
            name=place.name,
            format="gguf",
            files=files,
            repository=place.repository,
            revision=sha256(text).hexdigest(),
            texts=(texts := self._texts(place, manifest)),
            notes=_notes(files, texts),
        )

    def _texts(self, place: TagAddress, manifest: Manifest) -> dict[str, str]:
        """Template, parameters and system prompt: the first of each that is not too long."""
        wanted: dict[str, Layer] = {}
        for layer in manifest.layers:
            kind = layer.media_type.removeprefix(_TYPE)
            if kind in _TEXTS and (layer.size or 0) <= _LARGEST_TEXT:
                wanted.setdefault(kind, layer)
        return {kind: self.client.text(place, layer.sha256) for kind, layer in wanted.items()}


def _check_whole(artifact: RemoteArtifact) -> None:
    if artifact.record == _WITHOUT_PROJECTOR:
        raise UsageError(
            "the Ollama server always downloads a tag's projector",
            "leave out --no-projector, or download only the file: --to FOLDER",
        )


def _notes(files: tuple[RemoteFile, ...], texts: dict[str, str]) -> tuple[str, ...]:
    """What a tag consists of, and the parameters that Ollama would run it with."""
    parts = [
        f"{file.kind} {format_bytes(file.size)}"
        + (f" (sha256 {file.sha256[:12]}…)" if file.sha256 and file.kind in _MODELS else "")
        for file in files
    ]
    found = [f"layers: {', '.join(parts)}"]
    if params := texts.get("params"):
        found.append(f"parameters of the tag: {params}")
    return tuple(one_line(note) for note in found)


def _file(place: TagAddress, layer: Layer) -> RemoteFile:
    if layer.size is None or layer.size < 0:
        raise IntegrityError(f"{place.name}: a layer has no size", "the registry is broken")
    kinds = {manifests.MODEL: WEIGHTS, manifests.PROJECTOR: PROJECTOR}
    kind = kinds.get(layer.media_type, layer.media_type.removeprefix(_TYPE))
    ending = ".gguf" if kind in (WEIGHTS, PROJECTOR) else ""
    middle = "" if kind == WEIGHTS else f"-{kind}"
    stem = f"{place.model}-{place.tag}{middle}"
    return RemoteFile(f"{stem}{ending}", layer.size, kind, layer.sha256)


def _name_of(artifact: RemoteArtifact, digest: str) -> str:
    """The name of the file with that digest, the digest where it is none of them."""
    wanted = digest.removeprefix("sha256:")
    found = (file.name for file in artifact.files if file.sha256 == wanted)
    return next(found, one_line(wanted[:12]))


def _server() -> OllamaServer:
    """The Ollama server, where one answers.

    Raises: BackendMissing, with what to do instead.
    """
    from gemmahub.errors import BackendError
    from gemmahub_ollama.server import OllamaServer

    server = OllamaServer()
    try:
        server.version()
    except BackendError as error:
        server.close()
        raise BackendMissing(
            error.message, f"{error.hint}; or use --to FOLDER to download the file without Ollama"
        ) from None
    return server
