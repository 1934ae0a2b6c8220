"""Sharing: copies of one content on one file system become names of one file.

Planning only; :mod:`gemmahub.stores.linking` carries a plan out and undoes it.

What may be shared. Ollama and the hub client name blobs by their content and replace them by
renaming, never by writing into them (ollama ``manifest/layer.go``, huggingface_hub
``file_download.py``); llama.cpp and LM Studio download to a temporary name and rename it. So a
name of a shared file that one tool replaces leaves the other tools' names alone. What does reach
all names is a program that writes *into* a file in place; a reflink keeps the names apart for that
case too, where the file system has them. Where a store leads to its blob by a symlink, the blob is
what is shared. Ollama's models of one blob a tensor have no file to share.

A hard link has one owner, one mode and one time for all its names: copies whose owner differs are
refused, and so are those that would become readable for fewer users than before.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Kept, ManagedStore
from gemmahub.errors import GemmahubError
from gemmahub.stores.disk import allocated, may_write
from gemmahub.stores.open_files import users_of
from gemmahub.stores.usage import model_files
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gemmahub.engines.contract import Artifact
    from gemmahub.stores.identity import ContentSums

_READ: Final = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
HARD_LINK: Final = "hardlink"
REFLINK: Final = "reflink"


@dataclass(frozen=True, slots=True)
class Share:
    """One copy that becomes another name of ``kept``. Both are blobs or files, never links."""

    path: Path
    kept: Path
    sha256: str
    size_bytes: int
    freed_bytes: int

    def as_json(self) -> dict[str, Any]:
        """One row of ``dedupe --json``."""
        return {
            "path": str(self.path),
            "kept": str(self.kept),
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "freed_bytes": self.freed_bytes,
        }


@dataclass(frozen=True, slots=True)
class DedupePlan:
    """What would be shared, how (``hardlink`` or ``reflink``), and what would not and why."""

    method: str
    shares: tuple[Share, ...]
    refused: tuple[Kept, ...]

    @property
    def freed_bytes(self) -> int:
        """Bytes that the file system gets back."""
        return sum(share.freed_bytes for share in self.shares)

    def as_json(self) -> dict[str, Any]:
        """The plan as ``dedupe --json`` prints it."""
        return {
            "method": self.method,
            "shares": [share.as_json() for share in self.shares],
            "freed_bytes": self.freed_bytes,
            "refused": [{"path": str(r.path), "reason": r.reason} for r in self.refused],
        }


@dataclass(frozen=True, slots=True)
class _File:
    """A file on disk with the stores that lead to it."""

    path: Path
    status: os.stat_result
    stores: frozenset[str]

    @property
    def inode(self) -> tuple[int, int]:
        return self.status.st_dev, self.status.st_ino


def plan_dedupe(
    artifacts: Iterable[Artifact],
    stores: Sequence[object],
    sums: ContentSums,
    *,
    reflink: bool = False,
    compute: bool = True,
    on_bytes: Callable[[int], None] | None = None,
) -> DedupePlan:
    """What could be shared among these models; nothing is changed.

    Reads files whose content no store has recorded and whose length another file has (without
    ``compute`` they are refused instead); ``on_bytes`` gets the bytes as they are read.
    """
    managed = {store.name for store in stores if isinstance(store, ManagedStore)}
    groups, refused = _same_content(_real_files(artifacts), sums, on_bytes, compute=compute)
    in_use = users_of(file.path for group in groups.values() for file in group)
    shares: list[Share] = []
    for (sha256, _, _), group in groups.items():
        kept = _choose(group)
        chosen: list[_File] = []
        for file in group:
            if file.inode == kept.inode:
                continue
            reason = _refusal(file, kept, managed, in_use, reflink=reflink)
            if reason:
                refused.append(Kept(file.path, reason))
            else:
                chosen.append(file)
        shares += _shares(chosen, kept, sha256)
    refused += _on_other_devices(groups)
    return DedupePlan(REFLINK if reflink else HARD_LINK, tuple(shares), tuple(refused))


def _shares(files: Sequence[_File], kept: _File, sha256: str) -> list[Share]:
    """A copy frees its blocks when all its names go; they count for the first of these."""
    names = [file.inode for file in files]
    found = []
    for number, file in enumerate(files):
        whole = names.count(file.inode) == file.status.st_nlink
        first = file.inode not in names[:number]
        freed = allocated(file.status) if whole and first else 0
        found.append(Share(file.path, kept.path, sha256, file.status.st_size, freed))
    return found


def _real_files(artifacts: Iterable[Artifact]) -> list[_File]:
    """The files behind all links, one for each name that is no link."""
    stores: dict[Path, set[str]] = {}
    for artifact in artifacts:
        for path in model_files(artifact):
            stores.setdefault(Path(os.path.realpath(path)), set()).add(artifact.store)
    found = []
    for path, names in stores.items():
        try:
            status = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size and status.st_ino:
            found.append(_File(path, status, frozenset(names)))
    return found


_Groups = dict[tuple[str, int, int], list[_File]]


def _same_content(
    files: list[_File],
    sums: ContentSums,
    on_bytes: Callable[[int], None] | None,
    *,
    compute: bool,
) -> tuple[_Groups, list[Kept]]:
    """Files by sha256, length and device, without those that are one file already."""
    by_size: dict[int, set[tuple[int, int]]] = {}
    for file in files:
        by_size.setdefault(file.status.st_size, set()).add(file.inode)
    groups: _Groups = {}
    refused: list[Kept] = []
    for file in files:
        if len(by_size[file.status.st_size]) < 2:
            continue
        try:
            sha256 = sums.known(file.path)
            if sha256 is None and not compute:
                refused.append(
                    Kept(file.path, "its content was not read; another file has the same size")
                )
                continue
            sha256 = sha256 or sums.compute(file.path, on_bytes)
        except GemmahubError as error:
            refused.append(Kept(file.path, error.message))
            continue
        groups.setdefault((sha256, file.status.st_size, file.status.st_dev), []).append(file)
    return groups, refused


def _choose(group: list[_File]) -> _File:
    """The file that stays: readable for the most, with the most names, then by path."""
    return min(
        group,
        key=lambda f: (-(f.status.st_mode & _READ).bit_count(), -f.status.st_nlink, f.path),
    )


def _refusal(
    file: _File, kept: _File, managed: set[str], in_use: dict[Path, str], *, reflink: bool
) -> str:
    """Why a copy cannot become a name of ``kept``; empty when it can."""
    for each in (file, kept):
        unknown = sorted(each.stores - managed)
        if unknown:
            return f"the store {unknown[0]!r} does not state whether its files may be shared"
        if each.path in in_use:
            return f"{one_line(in_use[each.path])} has {each.path.name} open: close it first"
    if not may_write(file.path.parent):
        return "its folder is not writable: run as the user who owns it"
    if reflink:
        return ""
    mine, theirs = file.status, kept.status
    if (mine.st_uid, mine.st_gid) != (theirs.st_uid, theirs.st_gid):
        return "it has another owner than the other copy: a hard link has one owner"
    if mine.st_mode & _READ & ~theirs.st_mode:
        return "fewer users could read it then: give both copies the same mode"
    return ""


def _on_other_devices(groups: _Groups) -> list[Kept]:
    """Copies that are alone on their file system: they cannot share with those on another."""
    by_content: dict[tuple[str, int], list[_File]] = {}
    for (sha256, size, _), group in groups.items():
        by_content.setdefault((sha256, size), []).append(_choose(group))
    return [
        Kept(file.path, f"its copy {one_line(str(first.path))} is on another file system")
        for first, *others in by_content.values()
        for file in others
    ]
