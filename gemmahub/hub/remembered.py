"""What was asked of the hub before: small pieces in the cache folder, each with its digest.

Everything here can be asked for again: an entry that is damaged is forgotten, and a folder that
cannot be written is no failure.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zlib
from typing import TYPE_CHECKING, Final

from gemmahub.records.parsing import read_bounded
from gemmahub.records.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path

# Begins each entry; grows when entries are made in another way.
_MAGIC: Final = b"gemmahub 1 "
_DIGEST: Final = 64
_LARGEST: Final = 256 * 1024 * 1024  # of one entry, unpacked: more than any header
_KEPT_BYTES: Final = 512 * 1024 * 1024
_PRUNED_BYTES: Final = 32 * 1024 * 1024  # after so many new ones the folder is looked through
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")


class Remembered:
    """Bytes by key in ``folder``, compressed. Without a folder nothing is remembered."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._unpruned: int | None = None  # bytes that were put since; None: never looked

    def get(self, key: str) -> bytes | None:
        """What was kept under ``key``; None if nothing was, or if it is damaged."""
        path = self._path(key)
        if path is None:
            return None
        try:
            raw = read_bounded(path, _LARGEST)
            begin = len(_MAGIC) + _DIGEST + 1
            if not raw.startswith(_MAGIC):
                raise ValueError("not an entry")
            unpack = zlib.decompressobj()
            data = unpack.decompress(raw[begin:], _LARGEST)
            if hashlib.sha256(data).hexdigest().encode() != raw[len(_MAGIC) : begin - 1]:
                raise ValueError("damaged")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, zlib.error):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the ones used last are kept longest
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keeps ``data`` under ``key``; others see the old entry or the new one, never a part."""
        path = self._path(key)
        if path is None:
            return
        digest = hashlib.sha256(data).hexdigest().encode()
        whole = _MAGIC + digest + b"\n" + zlib.compress(data, 1)
        try:
            write_whole(path, whole)
        except OSError:  # read-only or full: it is asked for again next time
            return
        self._prune(len(whole))

    def _path(self, key: str) -> Path | None:
        if self._folder is None:
            return None
        name = (
            key
            if _SAFE.fullmatch(key)
            else hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
        )
        return self._folder / name

    def _prune(self, added: int) -> None:
        """Forgets the entries that were not used for longest when all take too much.

        Not with each entry: that would look at all of them for each.
        """
        if self._folder is None:
            return
        if self._unpruned is not None and self._unpruned + added < _PRUNED_BYTES:
            self._unpruned += added
            return
        self._unpruned = 0
        with contextlib.suppress(OSError):
            found = []
            for path in self._folder.iterdir():
                with contextlib.suppress(OSError):  # another one has just put or pruned it
                    found.append((path.stat(), path))
            total = sum(stat.st_size for stat, _ in found)
            for stat, path in sorted(found, key=lambda pair: pair[0].st_mtime_ns):
                if total <= _KEPT_BYTES:
                    break
                path.unlink()
                total -= stat.st_size
