"""Where the bytes of a model file come from: a local file, memory, or whatever offers ``read``.

The readers see a :class:`ByteSource` and nothing else, so that a file on disk and one behind HTTP
ranges are read by the same code. All offsets and lengths are in bytes.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Protocol

from gemmahub.errors import FormatError, IntegrityError, NotFound
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self, TypeAlias

LARGEST_PREFIX: Final = 64 * 1024 * 1024
"""The most bytes that reading a header may take: of a file here, and of one on a server."""

INCOMPLETE_HINT: Final = "The download is incomplete or the file is damaged: fetch it again."


class ByteSource(Protocol):
    """A run of bytes that can be read at any offset."""

    @property
    def name(self) -> str:
        """What messages call it, such as the file's name."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; :class:`IntegrityError` at the end."""


class OpenSource(ByteSource, Protocol):
    """A source that is open until it is closed; a context manager."""

    def close(self) -> None:
        """Closes it; twice is fine."""

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(self, *exc_info: object) -> None:
        """Closes it."""


if TYPE_CHECKING:
    Opener: TypeAlias = Callable[[Path], OpenSource]
    """What opens the file of a path: :class:`LocalFile`, or one whose bytes lie elsewhere."""


class Closing:
    """Closes at the end of a ``with`` block."""

    def close(self) -> None:
        """Gives back what is open; twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class LocalFile(Closing):
    """A file on this machine, open for reading; a context manager.

    Raises :class:`NotFound` for a missing file, and :class:`FormatError` for a folder, a device or
    a file that may not be read.
    """

    def __init__(self, path: Path) -> None:
        self._fd = -1
        self.path = path
        self.name = path.name or str(path)
        self._fd, self.size = _open_regular(path)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; :class:`IntegrityError` at the end."""
        check_range(self, offset, length)
        pieces = []
        while length:
            try:
                piece = _read_at(self._fd, length, offset)
            except OSError as error:
                raise IntegrityError(
                    f"{_shown(self.name)} cannot be read at byte {offset:,}: {error.strerror}",
                    "Check the disk, then fetch the file again.",
                ) from error
            if not piece:  # it became shorter while it was open
                raise _ends_early(self, offset, length)
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Closes the file; twice is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class PrefixSource(Closing, ABC):
    """A file elsewhere whose beginning is kept as it comes, in one piece, so that no byte comes
    twice: a reader that skips an array costs the array. A context manager.

    The first read fetches at least ``window`` bytes, as far as there are so many. Bytes behind
    :data:`LARGEST_PREFIX` are never fetched: :class:`FormatError`.
    """

    def __init__(self, name: str, size: int, window: int, prefix: bytes = b"") -> None:
        self.name = name
        self.size = size
        self.first_window = window
        self._prefix = bytearray(prefix)

    @property
    def prefix(self) -> bytes:
        """The beginning of the file, as far as it is here."""
        return bytes(self._prefix)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; :class:`IntegrityError` at the end."""
        check_range(self, offset, length)
        end = offset + length
        if end > len(self._prefix):
            if end > LARGEST_PREFIX:
                raise FormatError(
                    f"{_shown(self.name)} has a header of more than {format_bytes(LARGEST_PREFIX)}",
                    "Download the file to look at it; if it is a model, report it.",
                )
            least = 0 if self._prefix else min(self.first_window, self.size)
            self._extend(max(end, least))
        return bytes(self._prefix[offset:end])

    @abstractmethod
    def _extend(self, end: int) -> None:
        """Fetch what is missing of the first ``end`` bytes into ``_prefix``."""


def _open_regular(path: Path) -> tuple[int, int]:
    """Descriptor and size of a regular file."""
    try:
        status = path.stat()
        # Opening a pipe would wait for its writer: look before opening.
        if stat.S_ISDIR(status.st_mode):
            raise FormatError(
                f"{_shown(path)} is a folder, not a model file",
                "Name a .gguf or .safetensors file in it.",
            )
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{_shown(path)} is not a regular file", "Name a model file.")
        fd = _open_unnoticed(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(
            f"there is no file {_shown(path)}",
            "Check the path; `gemmahub list` shows the installed models.",
        ) from error
    except PermissionError as error:
        raise FormatError(
            f"{_shown(path)} cannot be read: permission denied",
            "Give yourself read permission for it.",
        ) from error
    except (OSError, ValueError) as error:  # a name too long, a link to itself, a NUL in the name
        raise NotFound(f"{_shown(path)} cannot be opened: {error}", "Check the path.") from error
    return fd, os.fstat(fd).st_size


def _open_unnoticed(path: Path) -> int:
    """A descriptor for reading. Looking at a header is no use of the model: its time of access
    stays, where the file is ours (``O_NOATIME``, Linux).
    """
    # O_BINARY exists on Windows only, where it keeps line ends as they are.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:
        return os.open(path, flags)


def _shown(name: object) -> str:
    return one_line(str(name))


def _read_at(fd: int, length: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, length, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, length)


def check_range(source: ByteSource, offset: int, length: int) -> None:
    if offset < 0 or length < 0 or offset + length > source.size:
        raise _ends_early(source, offset, length)


def _ends_early(source: ByteSource, offset: int, length: int) -> IntegrityError:
    return IntegrityError(
        f"{_shown(source.name)} ends at byte {source.size:,}, "
        f"but bytes {offset:,} to {offset + length:,} are needed",
        INCOMPLETE_HINT,
    )
