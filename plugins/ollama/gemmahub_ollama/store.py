"""Ollama's models, from its manifests and blobs on disk: no server is asked.

A name (``gemma3:4b``) is an artifact; its path is the blob with the weights, a GGUF file. Models
that Ollama keeps as one blob a tensor have no such file.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import (
    Artifact,
    BrokenEntry,
    Inventory,
    Kept,
    Removal,
    RemovalStep,
    last_read,
)
from gemmahub_ollama.manifests import (
    ADAPTER,
    MODEL,
    PARTS,
    PROJECTOR,
    TENSOR,
    BadManifest,
    Layer,
    Manifest,
    Tag,
    blob_path,
    read_manifest,
    tags,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SERVICE: Final = Path("/usr/share/ollama/.ollama/models")
_BLOB: Final = "sha256-"


@dataclass(frozen=True, slots=True)
class OllamaStore:
    """The models below one folder of Ollama's."""

    root: Path
    name: str = "ollama"
    tool: str = "Ollama"

    def inventory(self) -> Inventory:
        """The names there, each with its weights; none where the folder is not."""
        artifacts: list[Artifact] = []
        broken: list[BrokenEntry] = []
        try:
            for tag in tags(self.root):
                try:
                    artifact = self._artifact(tag, read_manifest(self.root, tag.paths[0]))
                except BadManifest as error:
                    broken.append(self._broken(tag, str(error)))
                except OSError as error:
                    broken.append(self._broken(tag, f"its manifest: {error.strerror}"))
                else:
                    if artifact is not None:
                        artifacts.append(artifact)
        except OSError as error:
            place = Path(error.filename or self.root)
            broken.append(BrokenEntry(place, self.name, error.strerror or "unreadable"))
        return Inventory(tuple(artifacts), tuple(broken))

    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        """The manifests of these names, then the blobs that no other name uses."""
        names = {artifact.reference for artifact in artifacts}
        going = [tag for tag in tags(self.root) if _reference(tag) in names]
        blobs = dict.fromkeys(
            sha256
            for tag in going
            for path in tag.paths
            for sha256 in sorted(_blobs_of(self.root, path))
        )
        users = self._users({path for tag in going for path in tag.paths})
        steps = [RemovalStep(path, "entry") for tag in going for path in tag.paths]
        folders = {parent for tag in going for path in tag.paths for parent in path.parents[:3]}
        steps += [RemovalStep(p, "folder") for p in sorted(folders, key=lambda p: -len(p.parts))]
        kept = []
        for sha256 in blobs:
            path = blob_path(self.root, sha256)
            reason = users.get(sha256) or users.get("")
            if reason:
                kept.append(Kept(path, reason))
            else:
                steps.append(RemovalStep(path, "data"))
        return Removal(tuple(steps), tuple(kept))

    def discard(self, path: Path) -> str:
        """Remove a blob, unless a name uses it by now."""
        users = self._users(set())
        reason = users.get(path.name.removeprefix(_BLOB)) or users.get("")
        if not reason:
            path.unlink(missing_ok=True)
        return reason or ""

    def _users(self, without: set[Path]) -> dict[str, str]:
        """For each sha256 that a manifest needs, which name does. A manifest that cannot be read
        may need any: then there is a reason under the empty text.
        """
        found: dict[str, str] = {}
        for tag in tags(self.root):
            for path in tag.paths:
                if path in without:
                    continue
                try:
                    for sha256 in read_manifest(self.root, path).blobs:
                        found.setdefault(sha256, f"used by {tag.name}")
                except (BadManifest, OSError):
                    found[""] = f"{tag.name} may use it: its manifest cannot be read"
        return found

    def _artifact(self, tag: Tag, manifest: Manifest) -> Artifact | None:
        """The weights of a name; None for one that runs elsewhere (it has no weights here)."""
        models = [layer for layer in manifest.layers if layer.media_type == MODEL]
        if not models:
            if any(layer.media_type == TENSOR for layer in manifest.layers):
                raise BadManifest("Ollama stores it as one blob per tensor: there is no model file")
            return None
        projectors = [layer for layer in manifest.layers if layer.media_type == PROJECTOR]
        files = tuple(self._blob(layer) for layer in models)
        return Artifact(
            format="gguf",
            path=files[0],
            files=files,
            name=tag.name,
            store=self.name,
            repository=tag.repository,
            revision=manifest.sha256,
            sha256=models[0].sha256 if len(models) == 1 else None,
            projector=self._blob(projectors[0]) if projectors else None,
            reference=_reference(tag),
            last_used=last_read(files[0].stat()),
            parts=tuple(self._parts(manifest)),
        )

    def _parts(self, manifest: Manifest) -> Iterator[tuple[str, Path]]:
        """What else a Modelfile made of it. An adapter has to be there, texts may be missing."""
        for layer in manifest.layers:
            name = PARTS.get(layer.media_type)
            if name == ADAPTER:
                yield name, self._blob(layer)
            elif name is not None:
                yield name, blob_path(self.root, layer.sha256)

    def _blob(self, layer: Layer) -> Path:
        path = blob_path(self.root, layer.sha256)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise BadManifest(
                f"its weights are missing: the blob {path.name[:19]}… is missing"
                if layer.media_type == MODEL
                else f"its blob {path.name[:19]}… is missing"
            ) from None
        except OSError as error:
            raise BadManifest(f"its blob {path.name[:19]}…: {error.strerror}") from None
        if layer.size is not None and size != layer.size:
            raise BadManifest(
                f"its blob {path.name[:19]}… has another size than its manifest states"
            )
        return path

    def _broken(self, tag: Tag, reason: str) -> BrokenEntry:
        return BrokenEntry(tag.paths[0], self.name, f"{tag.name}: {reason}", _reference(tag))


def _blobs_of(root: Path, path: Path) -> Iterable[str]:
    """The sums that a manifest needs; none for one that cannot be read."""
    try:
        return read_manifest(root, path).blobs
    except (BadManifest, OSError):
        return ()


def ollama_stores() -> list[OllamaStore]:
    """The folders in which Ollama keeps models here (``OLLAMA_MODELS``, as Ollama reads it)."""
    named = os.environ.get("OLLAMA_MODELS", "").strip().strip("\"'").strip()
    if named:
        return [OllamaStore(Path(named))]
    stores = [OllamaStore(Path.home() / ".ollama" / "models")]
    if sys.platform == "linux" and stores[0].root != _SERVICE and _exists(_SERVICE):
        stores.append(OllamaStore(_SERVICE, name="ollama-service"))
    return stores


def _exists(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # its folder is closed to this user
        return False


def _reference(tag: Tag) -> str:
    return f"ollama://{tag.name}"
