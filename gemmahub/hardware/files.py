"""Small system files below a root, so that a recorded tree can stand for another machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from io import RawIOBase

_LARGEST: Final = 4 * 1024 * 1024
# Some files in /proc make the kernel allocate a buffer of the size that is asked for.
_PIECE: Final = 64 * 1024
_DIGITS: Final = re.compile(r"([0-9]+)")
_RANGE: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


class Unreadable(Exception):
    """A file that is there and cannot be read, or that says something it should not."""


@dataclass(frozen=True, slots=True)
class SystemFiles:
    """Reads ``/proc``, ``/sys`` and the like; paths are given without the leading slash."""

    root: Path = Path("/")

    def path(self, name: str) -> Path:
        """Where ``name`` lies."""
        return self.root / name

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder; what we may not look at counts as absent."""
        try:
            return self.path(name).exists()
        except OSError:
            return False

    def may_use(self, name: str) -> bool:
        """Whether this process may open the file for reading and writing."""
        return os.access(self.path(name), os.R_OK | os.W_OK)

    def text(self, name: str) -> str | None:
        """The file's text without trailing blanks and NULs, None where there is no such file.

        Raises: Unreadable when the file is there and the system refuses to read it.
        """
        content = self.content(name)
        return None if content is None else content.decode("utf-8", "replace").rstrip("\0\n\t ")

    def content(self, name: str) -> bytes | None:
        """The file's bytes, None where there is no such file.

        Raises: Unreadable when the file is there and the system refuses to read it.
        """
        try:
            with self.path(name).open("rb", buffering=0) as file:
                return _read(file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Unreadable(f"/{name}: {error.strerror or error}") from error

    def integer(self, name: str, base: int = 10) -> int | None:
        """The one number in a file, None where there is no such file.

        Raises: Unreadable when the file cannot be read or holds something else.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            return int(text, base)
        except ValueError:
            raise Unreadable(f"/{name}: no number: {text[:40]!r}") from None

    def names(self, folder: str, pattern: str) -> list[str]:
        """Names in a folder that match the whole regular expression, numbers in their order.

        Raises: Unreadable when the folder is there and the system refuses to list it.
        """
        try:
            found = [entry.name for entry in self.path(folder).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise Unreadable(f"/{folder}: {error.strerror or error}") from error
        return sorted((name for name in found if re.fullmatch(pattern, name)), key=_natural)


def _read(file: RawIOBase) -> bytes:
    content = bytearray()
    while len(content) < _LARGEST:
        piece = file.read(_PIECE)
        if not piece:
            break
        content += piece
    return bytes(content)


def _natural(name: str) -> list[tuple[int, str]]:
    parts = _DIGITS.split(name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def numbers_of(text: str) -> frozenset[int]:
    """The numbers that a kernel list such as ``0-3,8`` names.

    Raises: ValueError when it is no such list.
    """
    found: set[int] = set()
    for part in text.strip().split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(part)
        first, last = int(match[1]), int(match[2] or match[1])
        found.update(range(first, last + 1))
    return frozenset(found)
