"""Ollama's manifests on disk: which blobs a tag is made of.

Source: ollama/ollama ``manifest/paths.go``, ``manifest/manifest.go``, ``manifest/layer.go`` and
``types/model/name.go``. A manifest lies at ``manifests/HOST/NAMESPACE/MODEL/TAG``, in newer
versions at ``manifests-v2/...`` as a link to a blob (or a copy of it), which goes before an older
one of the same name. A blob is ``blobs/sha256-<64 hexadecimal digits>``. A manifest list holds one
manifest a runner, whole or as the digest of a blob with it.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.http.values import NotJson, count_of, parse_json, text_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODEL: Final = "application/vnd.ollama.image.model"
PROJECTOR: Final = "application/vnd.ollama.image.projector"
TENSOR: Final = "application/vnd.ollama.image.tensor"
ADAPTER: Final = "ADAPTER"
PARTS: Final = {
    f"application/vnd.ollama.image.{kind}": name
    for kind, name in (
        ("adapter", ADAPTER),
        ("draft", "DRAFT"),
        ("template", "TEMPLATE"),
        ("prompt", "TEMPLATE"),
        ("system", "SYSTEM"),
        ("params", "PARAMETER"),
        ("messages", "MESSAGE"),
    )
}
"""What a Modelfile calls a layer, by its media type."""
_LIST: Final = "application/vnd.ollama.manifest.list.v2+json"
_FOLDERS: Final = ("manifests-v2", "manifests")
_DIGEST: Final = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
_HOST: Final = "registry.ollama.ai"
_NAMESPACE: Final = "library"
_HUB: Final = ("hf.co", "huggingface.co")
_LARGEST: Final = 4 << 20
_MOST_LAYERS: Final = 10_000
# Runners that take GGUF files, the preferred first.
_RUNNERS: Final = ("ollama", "llamacpp")


class BadManifest(Exception):
    """A manifest that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob of a model: its sha256, its media type and its length in bytes."""

    sha256: str
    media_type: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Tag:
    """A name in the store and the paths at which its manifest lies, the one that counts first."""

    host: str
    namespace: str
    model: str
    tag: str
    paths: tuple[Path, ...]

    @property
    def name(self) -> str:
        """As Ollama shows it: ``gemma3:4b``, ``user/model:tag``, ``hf.co/user/repo:Q4_0``."""
        parts = [self.model]
        if self.host != _HOST:
            parts = [self.host, self.namespace, self.model]
        elif self.namespace != _NAMESPACE:
            parts = [self.namespace, self.model]
        return f"{'/'.join(parts)}:{self.tag}"

    @property
    def repository(self) -> str:
        """The Hugging Face repository that it was pulled from, empty for other registries."""
        return f"{self.namespace}/{self.model}" if self.host in _HUB else ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a tag is made of: the layers that run here, and the sums of all blobs it needs.

    ``sha256`` is that of the manifest on disk, whose beginning Ollama prints as the ID of a tag.
    """

    layers: tuple[Layer, ...]
    blobs: frozenset[str]
    sha256: str = ""


def blob_path(root: Path, sha256: str) -> Path:
    """Where the blob of that sha256 lies."""
    return root / "blobs" / f"sha256-{sha256}"


def tags(root: Path) -> Iterator[Tag]:
    """All names in the store. Raises: OSError when a folder cannot be read."""
    found: dict[tuple[str, ...], list[Path]] = {}
    for folder in _FOLDERS:
        for path, parts in _files(root / folder, ()):
            found.setdefault(tuple(part.lower() for part in parts), []).append(path)
    for paths in found.values():
        host, namespace, model, tag = paths[0].parts[-4:]
        yield Tag(host, namespace, model, tag, tuple(paths))


def read_manifest(root: Path, path: Path) -> Manifest:
    """The manifest at ``path``. Raises: BadManifest; OSError."""
    blobs: set[str] = set()
    text = _text(path)
    own = sha256(text).hexdigest()
    if path.is_symlink():
        blobs.add(_digest(Path(os.path.realpath(path)).name))
    elif blob_path(root, own).exists():
        blobs.add(own)  # a hard link to its blob, or a copy of it, where links are not possible
    data = _object(text)
    if data.get("mediaType") != _LIST:
        return replace(_whole(data, blobs), sha256=own)
    children = [_child(root, child, blobs) for child in _objects(data.get("manifests"))]
    if not children:
        raise BadManifest("its manifest is an empty list")
    for _, child in children:
        _whole(child, blobs)
    chosen = min(children, key=lambda pair: _preference(pair[0]))[1]
    return Manifest(_whole(chosen, set()).layers, frozenset(blobs), own)


def parse_manifest(text: bytes, fetch: Callable[[str], bytes]) -> Manifest:
    """A manifest that a registry gave; ``fetch`` gets the manifest of a sha256, for a list of them.

    Raises: BadManifest, and what ``fetch`` raises.
    """
    data = _object(text)
    children = _objects(data.get("manifests")) if data.get("mediaType") == _LIST else []
    if children:
        chosen = min(children, key=lambda child: _preference(text_of(child.get("runner"), 200)))
        whole = bool(chosen.get("layers"))
        data = chosen if whole else _object(fetch(_digest(chosen.get("digest"))))
    return _whole(data, set())


def _whole(data: dict[str, Any], blobs: set[str]) -> Manifest:
    """A manifest of one runner; its blobs are added to ``blobs``."""
    layers = []
    for layer in _objects(data.get("layers")):
        size = layer.get("size")
        layers.append(
            Layer(
                _digest(layer.get("digest")),
                one_line(text_of(layer.get("mediaType"), 200)),
                count_of(size),
            )
        )
    blobs.update(layer.sha256 for layer in layers)
    config = data.get("config")
    if isinstance(config, dict) and config.get("digest"):
        blobs.add(_digest(config["digest"]))
    return Manifest(tuple(layers), frozenset(blobs))


def _child(root: Path, child: dict[str, Any], blobs: set[str]) -> tuple[str, dict[str, Any]]:
    """Runner and content of one manifest of a list, from its own blob where it is only named."""
    runner = text_of(child.get("runner"), 200)
    if child.get("layers") or not child.get("digest"):
        return runner, child
    digest = _digest(child["digest"])
    blobs.add(digest)
    data = _object(_text(blob_path(root, digest)))
    return runner or text_of(data.get("runner"), 200), data


def _preference(runner: str) -> int:
    name = runner.lower()
    return _RUNNERS.index(name) if name in _RUNNERS else len(_RUNNERS)


def _files(folder: Path, parts: tuple[str, ...]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Files exactly four levels down: host, namespace, model, tag."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        below = (*parts, entry.name)
        if entry.name.startswith("."):
            continue
        if len(below) < 4 and entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), below)
        elif len(below) == 4 and not entry.is_dir():
            yield Path(entry.path), below


def _digest(value: object) -> str:
    match = _DIGEST.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadManifest("its manifest names a blob without a sha256 digest")
    return match[1].lower()


def _text(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for its writer
        raise BadManifest("its manifest is not a file")
    with path.open("rb") as file:
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise BadManifest("its manifest is too large")
    return text


def _object(text: bytes) -> dict[str, Any]:
    try:
        data = parse_json(text)
    except NotJson as error:
        raise BadManifest(f"its manifest {str(error).removeprefix('it ')}") from None
    if not isinstance(data, dict):
        raise BadManifest("its manifest is not a JSON object")
    return data


def _objects(value: object) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise BadManifest("its manifest has no list of layers")
    if len(value) > _MOST_LAYERS:
        raise BadManifest(f"its manifest has more than {_MOST_LAYERS:,} layers")
    return value
