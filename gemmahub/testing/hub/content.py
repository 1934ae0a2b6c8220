"""What the local hub serves: repositories with commits, their files, and faults on command."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LFS: Final = (".gguf", ".safetensors", ".bin", ".model")
_PIECE: Final = 64 * 1024

FaultKind = Literal[
    "status",  # answer with the status ``value`` and ``headers``
    "break",  # end the connection after ``value`` bytes of the body
    "stall",  # after ``value`` bytes nothing more comes, until the server is closed or released
    "corrupt",  # change the byte at offset ``value`` of the file
    "ignore range",  # answer 200 with everything
    "truncate",  # leave out the last ``value`` bytes, and say so in Content-Length
    "slow",  # wait ``value`` seconds before each 64 KiB
    "etag",  # another etag, as when the file was replaced
    "size",  # a whole length that is larger by ``value`` bytes
    "commit",  # another commit in X-Repo-Commit
    "no commit",  # no X-Repo-Commit
    "redirect",  # send on to the same address with another query
    "page",  # a web page in place of the answer, with status 200
]


@dataclass(slots=True)
class Fault:
    """What goes wrong with requests whose path contains ``match``, ``times`` times (None: always).

    The first ``skip`` of them are answered well. ``method`` "" means any.
    """

    kind: FaultKind
    match: str = ""
    times: int | None = 1
    value: float = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    skip: int = 0

    def hits(self, method: str, path: str) -> bool:
        """Whether this request is one of those; counts it if so."""
        if self.match not in path or self.method not in ("", method) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(frozen=True, slots=True)
class Served:
    """One file: bytes in memory or a file on disk, which may be sparse."""

    path: str
    data: bytes | Path
    sha256: str
    blob: str
    size: int
    lfs: bool

    @classmethod
    def of(cls, path: str, data: bytes | Path, sha256: str | None = None) -> Served:
        """A file as the hub would store it; ``sha256`` saves the hashing of a large one."""
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        digest = sha256 or _sha256(data)
        lfs = path.lower().endswith(_LFS)
        text = f"oid sha256:{digest}\nsize {size}\n".encode() if lfs else _whole(data)
        blob = hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest()
        return cls(path, data, digest, blob, size, lfs)

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.blob

    def pieces(self, begin: int, end: int) -> Iterator[bytes]:
        """The bytes from ``begin`` to ``end``, a few at a time."""
        if isinstance(self.data, bytes):
            for offset in range(begin, end, _PIECE):
                yield self.data[offset : min(offset + _PIECE, end)]
            return
        with self.data.open("rb") as file:
            file.seek(begin)
            while begin < end and (piece := file.read(min(_PIECE, end - begin))):
                begin += len(piece)
                yield piece


@dataclass(slots=True)
class HubRequest:
    """One request, and what was sent for it. ``file`` is the path of the file it is about."""

    method: str
    path: str
    token: str
    range: str
    host: str
    status: int = 0
    file: str = ""
    span: tuple[int, int] = (0, 0)
    body: int = field(default=0)


@dataclass(slots=True)
class Repo:
    """A repository: commits (hash to files), branches, and what the hub says about it."""

    name: str
    commits: dict[str, dict[str, Served]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: str = ""
    private: bool = False
    downloads: int = 0
    library: str = ""
    tags: tuple[str, ...] = ()
    card: dict[str, Any] = field(default_factory=dict)

    def commit(self, files: Mapping[str, Served], branch: str = "main") -> str:
        """Makes ``files`` the newest commit of a branch."""
        text = json.dumps([self.name, len(self.commits), sorted(files), branch])
        text += "".join(file.sha256 for file in files.values())
        made = hashlib.sha1(text.encode()).hexdigest()
        self.commits[made] = dict(files)
        self.branches[branch] = made
        return made

    @property
    def head(self) -> str:
        """The newest commit of main."""
        return self.branches["main"]

    def at(self, revision: str) -> tuple[str, dict[str, Served]] | None:
        """Commit and files of a branch or commit."""
        commit = self.branches.get(revision, revision)
        return (commit, self.commits[commit]) if commit in self.commits else None

    def info(self, revision: str, *, blobs: bool) -> dict[str, Any] | None:
        """What ``/api/models/NAME`` says."""
        found = self.at(revision)
        if found is None:
            return None
        commit, files = found
        return {
            "_id": self.name, "id": self.name, "modelId": self.name, "sha": commit,
            "author": self.name.split("/")[0], "private": self.private,
            "gated": self.gated or False, "disabled": False, "downloads": self.downloads,
            "likes": 0, "library_name": self.library or None, "tags": list(self.tags),
            "cardData": self.card, "siblings": [_sibling(f, blobs=blobs) for f in files.values()],
            "createdAt": "2025-04-01T00:00:00.000Z", "lastModified": "2025-04-01T00:00:00.000Z",
        }  # fmt: skip

    def tree(self, revision: str) -> list[dict[str, Any]] | None:
        """What ``/api/models/NAME/tree/REVISION?recursive=true`` says."""
        found = self.at(revision)
        if found is None:
            return None
        return [tree_entry(file) for file in found[1].values()]


def tree_entry(file: Served) -> dict[str, Any]:
    """A file as the tree and the paths-info endpoints describe it."""
    entry: dict[str, Any] = {
        "type": "file", "oid": file.blob, "size": file.size, "path": file.path,
    }  # fmt: skip
    if file.lfs:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    return entry


def _sibling(file: Served, *, blobs: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        entry |= {"size": file.size, "blobId": file.blob}
        if file.lfs:
            entry["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 134}
    return entry


def _sha256(data: bytes | Path) -> str:
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _whole(data: bytes | Path) -> bytes:
    return data if isinstance(data, bytes) else data.read_bytes()


def overlap(spans: list[tuple[int, int]]) -> int:
    """How many bytes of the spans were covered before."""
    seen: list[tuple[int, int]] = []
    twice = 0
    for begin, end in spans:
        twice += sum(max(0, min(end, e) - max(begin, b)) for b, e in _merged(seen))
        seen.append((begin, end))
    return twice


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
