"""Disk usage: by store, by model, and what lies here more than once."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.engines.contract import DownloadStore, ManagedStore
from gemmahub.stores.disk import Counter, allocated
from gemmahub.stores.identity import weight_files
from gemmahub.stores.scan import walk

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Artifact, Unfinished
    from gemmahub.registry.variants import Variant
    from gemmahub.stores.identity import ContentSums


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """What a store takes. ``model_bytes`` are its models', ``other_bytes`` the rest below its root:
    unfinished downloads, blobs that nothing uses, files that are no models. ``store`` is empty for
    files in no store.
    """

    store: str
    root: Path | None
    models: int
    model_bytes: int
    other_bytes: int

    def as_json(self) -> dict[str, Any]:
        """One row of ``du --json``."""
        return {
            "store": self.store,
            "root": None if self.root is None else str(self.root),
            "models": self.models,
            "model_bytes": self.model_bytes,
            "other_bytes": self.other_bytes,
        }


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What a model takes in all its places: ``disk_bytes`` are real, each content counted once."""

    reference: str
    size_bytes: int | None
    disk_bytes: int
    places: tuple[tuple[str, Path], ...]

    def as_json(self) -> dict[str, Any]:
        """One row of ``du --json``."""
        return {
            "reference": self.reference,
            "size_bytes": self.size_bytes,
            "disk_bytes": self.disk_bytes,
            "places": [{"store": store, "path": str(path)} for store, path in self.places],
        }


@dataclass(frozen=True, slots=True)
class Duplicate:
    """One content in several files: ``extra_bytes`` is what all but one of them take.

    ``linkable_bytes`` is the part of it that lies on one file system with another copy.
    """

    sha256: str
    size_bytes: int
    paths: tuple[Path, ...]
    extra_bytes: int
    linkable_bytes: int

    def as_json(self) -> dict[str, Any]:
        """One row of ``du --json``."""
        return {
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "paths": [str(path) for path in self.paths],
            "extra_bytes": self.extra_bytes,
            "linkable_bytes": self.linkable_bytes,
        }


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Everything ``du`` shows. ``disk_bytes`` counts each content once over all stores.

    ``unknown`` are files that have the length of another and whose content is not known: they may
    be duplicates (``identify`` tells). ``unfinished`` is a part of what stores have beside models.
    """

    stores: tuple[StoreUsage, ...]
    models: tuple[ModelUsage, ...]
    duplicates: tuple[Duplicate, ...]
    unknown: tuple[Path, ...]
    disk_bytes: int
    unfinished: tuple[Unfinished, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """What ``du --json`` prints."""
        return {
            "disk_bytes": self.disk_bytes,
            "stores": [store.as_json() for store in self.stores],
            "models": [model.as_json() for model in self.models],
            "duplicates": [duplicate.as_json() for duplicate in self.duplicates],
            "unknown": [str(path) for path in self.unknown],
            "unfinished": [
                {"reference": left.reference, "bytes": left.bytes} for left in self.unfinished
            ],
        }


def disk_usage(
    variants: Sequence[Variant], stores: Sequence[object], sums: ContentSums
) -> DiskUsage:
    """What the installed variants take, and the stores they are in. Reads no weights.

    Hard links, and links to one blob, count once, for the store that is first in ``stores``; a
    sparse file counts with its blocks.
    """
    managed = [store for store in stores if isinstance(store, ManagedStore)]
    artifacts = [artifact for variant in variants for artifact in variant.artifacts]
    everything = Counter()
    usages = []
    names = dict.fromkeys([*(store.name for store in managed), *(a.store for a in artifacts)])
    roots = {store.name: store.root for store in managed}
    for name in names:
        mine = [artifact for artifact in artifacts if artifact.store == name]
        usages.append(_store_usage(name, roots.get(name), mine, everything))
    models = [
        ModelUsage(
            variant.reference,
            variant.size_bytes,
            _bytes_of(Counter(), variant.artifacts),
            tuple(dict.fromkeys((a.store, a.path) for a in variant.artifacts)),
        )
        for variant in variants
        if variant.artifacts
    ]
    duplicates, unknown = find_duplicates(artifacts, sums)
    return DiskUsage(
        tuple(usage for usage in usages if usage.models or usage.other_bytes),
        tuple(sorted(models, key=lambda model: -model.disk_bytes)),
        tuple(sorted(duplicates, key=lambda duplicate: -duplicate.extra_bytes)),
        tuple(unknown),
        sum(usage.model_bytes + usage.other_bytes for usage in usages),
        tuple(
            left
            for store in stores
            if isinstance(store, DownloadStore)
            for left in store.unfinished()
        ),
    )


def find_duplicates(
    artifacts: Iterable[Artifact], sums: ContentSums
) -> tuple[list[Duplicate], list[Path]]:
    """Files of one content that are not one file, and files of which it is not known."""
    copies: dict[tuple[str, int], dict[tuple[int, int], tuple[Path, os.stat_result]]] = {}
    nameless: dict[int, dict[tuple[int, int], Path]] = {}
    sizes: dict[int, set[tuple[int, int]]] = {}
    for path, status in _files_once(artifacts):
        inode = status.st_dev, status.st_ino
        sizes.setdefault(status.st_size, set()).add(inode)
        sha256 = sums.known(path)
        if sha256 is None:
            nameless.setdefault(status.st_size, {}).setdefault(inode, path)
        else:
            copies.setdefault((sha256, status.st_size), {}).setdefault(inode, (path, status))
    found = [
        _duplicate(sha256, size, list(files.values()))
        for (sha256, size), files in copies.items()
        if len(files) > 1
    ]
    # A file may be known by one of its names only: as a blob, not as what links to it.
    named = {inode for files in copies.values() for inode in files}
    unknown = [
        path
        for size, files in nameless.items()
        if len(sizes[size]) > 1
        for inode, path in files.items()
        if inode not in named
    ]
    return found, unknown


def model_files(artifact: Artifact) -> tuple[Path, ...]:
    """All files of a model that are worth sharing: its weights and its projector."""
    projector = (artifact.projector,) if artifact.projector is not None else ()
    return (*weight_files(artifact), *projector)


def _below(folder: Path) -> Iterable[Path]:
    """All files of a folder that is a model in a format of its own."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _files_once(artifacts: Iterable[Artifact]) -> Iterable[tuple[Path, os.stat_result]]:
    for path in dict.fromkeys(path for a in artifacts for path in model_files(a)):
        try:
            status = path.stat()
        except OSError:
            continue
        if status.st_size and status.st_ino:
            yield path, status


def _duplicate(sha256: str, size: int, files: list[tuple[Path, os.stat_result]]) -> Duplicate:
    taken = sorted((allocated(status) for _, status in files), reverse=True)
    devices: dict[int, list[int]] = {}
    for _, status in files:
        devices.setdefault(status.st_dev, []).append(allocated(status))
    linkable = sum(sum(group) - max(group) for group in devices.values())
    paths = tuple(path for path, _ in files)
    return Duplicate(sha256, size, paths, sum(taken[1:]), linkable)


def _bytes_of(counter: Counter, artifacts: Iterable[Artifact]) -> int:
    total = 0
    for artifact in artifacts:
        if artifact.files in ((), (artifact.path,)):
            with contextlib.suppress(OSError):  # a file, or gone since
                total += sum(counter.add(path) for path in sorted(artifact.path.iterdir()))
        total += sum(counter.add(path) for path in model_files(artifact) or _below(artifact.path))
    return total


def _store_usage(
    name: str, root: Path | None, artifacts: Sequence[Artifact], everything: Counter
) -> StoreUsage:
    models = _bytes_of(everything, artifacts)
    other = 0
    if root is not None and root.is_dir():
        for _, entries in walk(str(root), lambda error: None, hidden=True):
            other += sum(everything.add(e.path) for e in entries if not e.is_symlink())
    count = len({artifact.path for artifact in artifacts})
    return StoreUsage(name, root, count, models, other)
