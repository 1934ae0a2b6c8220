"""llama.cpp's own cache folder, as its ``-hf`` and ``-mu`` options filled it.

Source: ggml-org/llama.cpp ``common/common.cpp`` (``fs_get_cache_directory``: ``LLAMA_CACHE``, else
``llama.cpp`` in the platform's cache folder) and ``common/download.cpp`` (files are called
``owner_repo_path``; ``.etag``, older ``.json``, beside them; ``manifest=owner=repo=tag.json`` names
``ggufFile`` and ``mmprojFile`` with ``rfilename``, ``size`` and ``lfs.sha256``; downloads end in
``.downloadInProgress``). Newer builds use the Hugging Face cache and move these files there.

An etag is no sha256: it is whatever the server of the bytes sent.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Artifact, BrokenEntry, Inventory, Removal, RemovalStep
from gemmahub.stores.companions import best_fitting
from gemmahub.stores.folder import artifact_of, files_removal
from gemmahub.stores.scan import absence, broken_folder, models_among, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LARGEST_MANIFEST: Final = 8 << 20
_SIDECARS: Final = (".etag", ".json")


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What a manifest says: the local files it leads to, and of which repository they are."""

    path: Path
    repository: str
    sums: dict[str, tuple[str, int | None]]
    projector: str | None


@dataclass(frozen=True, slots=True)
class LlamaCppStore:
    """What llama.cpp downloaded. ``folder`` None means: where llama.cpp looks."""

    folder: Path | None = None
    name: str = "llama.cpp"
    tool: str = "llama.cpp"

    @property
    def root(self) -> Path:
        """The cache folder."""
        return self.folder or cache_folder()

    def inventory(self) -> Inventory:
        """The models there; none where there is no such folder."""
        root = self.root
        problem = absence(root)
        if problem is not None:
            here = (BrokenEntry(root, self.name, problem),) if problem else ()
            return Inventory(broken=here)
        broken: list[BrokenEntry] = []
        artifacts: list[Artifact] = []
        named = _by_model(_manifests(root))
        for place, entries in walk(str(root), broken_folder(self.name, broken)):
            if Path(place) != root:
                continue  # only the folder itself is llama.cpp's
            for found in models_among(place, entries, folders=False):
                if found.problem:
                    broken.append(BrokenEntry(found.path, self.name, found.problem))
                else:
                    # A flat folder: a projector belongs to the models whose manifests name it.
                    plain = replace(artifact_of(found, self.name), projector=None)
                    artifacts.append(_described(plain, named.get(plain.path.name)))
        return Inventory(tuple(artifacts), tuple(broken))

    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        """Manifests first, then the files, then the notes that llama.cpp keeps beside them."""
        root = self.root
        removal = files_removal(root, artifacts, self.inventory().artifacts)
        going = {step.path.name for step in removal.steps if step.kind == "data"}
        manifests = [
            RemovalStep(manifest.path, "entry")
            for manifest in _manifests(root)
            if any(name in going for name in manifest.sums if name != manifest.projector)
        ]
        sidecars = [
            RemovalStep(side, "entry")
            for name in sorted(going)
            for suffix in _SIDECARS
            if (side := root / (name + suffix)).is_file()
        ]
        return Removal((*manifests, *removal.steps, *sidecars), removal.kept)

    def discard(self, path: Path) -> str:
        """Remove a file."""
        path.unlink(missing_ok=True)
        return ""


def cache_folder() -> Path:
    """Where llama.cpp keeps what it downloads; the folder need not exist."""
    if chosen := os.environ.get("LLAMA_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "llama.cpp"


def _manifests(root: Path) -> list[_Manifest]:
    found = []
    try:
        paths = sorted(root.glob("manifest=*.json"))
    except OSError:
        return []
    for path in paths:
        parts = path.name.removesuffix(".json").split("=")
        if len(parts) < 4:
            continue
        data = _json(path)
        files: dict[str, tuple[str, int | None]] = {}
        names = {key: _local_file(parts[1], parts[2], data.get(key)) for key in _FILES}
        for key, name in names.items():
            if name:
                files[name] = _sum_and_size(data[key])
        repository = f"{parts[1]}/{parts[2]}"
        found.append(_Manifest(path, repository, files, names["mmprojFile"]))
    return found


_FILES: Final = ("ggufFile", "mmprojFile")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_MANIFEST:
            return {}
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _local_file(owner: str, repository: str, node: object) -> str | None:
    name = node.get("rfilename") if isinstance(node, dict) else None
    if not isinstance(name, str) or not name:
        return None
    return f"{owner}_{repository}_{name}".replace("/", "_")


def _sum_and_size(node: dict[str, Any]) -> tuple[str, int | None]:
    lfs = node.get("lfs")
    sha256 = lfs.get("sha256") if isinstance(lfs, dict) else None
    size = node.get("size")
    found = sha256.lower() if isinstance(sha256, str) else ""
    return found if _SHA256.fullmatch(found) else "", size if isinstance(size, int) else None


def _by_model(manifests: Iterable[_Manifest]) -> dict[str, _Manifest]:
    """The manifests by the model files that they name; the first that names one counts."""
    found: dict[str, _Manifest] = {}
    for manifest in manifests:
        for name in manifest.sums:
            if name != manifest.projector:
                found.setdefault(name, manifest)
    return found


def _described(artifact: Artifact, manifest: _Manifest | None) -> Artifact:
    """With what its manifest says of it: repository, sha256, projector."""
    if manifest is None:
        return artifact
    sha256, size = manifest.sums[artifact.path.name]
    whole = size in (None, artifact.path.stat().st_size)
    beside = artifact.path.parent / manifest.projector if manifest.projector else None
    return replace(
        artifact,
        repository=manifest.repository,
        sha256=sha256 if whole and sha256 and len(artifact.files) == 1 else None,
        projector=best_fitting(artifact.path, [beside] if beside and beside.is_file() else []),
    )
