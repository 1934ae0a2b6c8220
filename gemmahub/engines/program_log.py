"""What a program prints: its first and last lines, in memory and in a file that stays small.

The reason why a program failed stands in its first lines (a wrong argument) or in its last ones (a
crash), so both are kept. A file is readable by its owner only. What a caller's ``keep`` does not
want is kept nowhere; a program should be started so that it does not print prompts and answers.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections import deque
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Final

from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIRST_BYTES: Final = 64 * 1024
LAST_BYTES: Final = 192 * 1024
"""Of a log file at least these are kept; it has at most as many last bytes again."""
KEPT_FILES: Final = 10
"""Log files of programs that crashed, the newest."""
_LINE_BYTES: Final = 4096
_FIRST_LINES, _LAST_LINES = 100, 200
_SHOWN: Final = 300
RECENT_SECONDS: Final = 10.0
"""A line from longer ago does not say why a program ends now."""
_REASON: Final = re.compile(
    r"error|fail|abort|assert|out of memory|can ?not|can't|could ?n[o']t|unable|invalid|exception"
    r"|fatal|panic|not found|no such|refused|denied|unknown|unsupported|terminat",
    re.IGNORECASE,
)


_WARNING: Final = re.compile(r"warn(?:ing)?\b|^\s*W\b", re.IGNORECASE)
"""What a program says of a line that does not stop it."""


class ProgramLog:
    """The lines of one program. ``keep`` says of a line whether it may be kept."""

    def __init__(
        self, keep: Callable[[str], bool] | None = None, file: LogFile | None = None
    ) -> None:
        self._keep = keep
        self.file = file
        self._first: list[tuple[float, str]] = []  # when, and what
        self._last: deque[tuple[float, str]] = deque(maxlen=_LAST_LINES)
        self._settled = 0.0
        self._lock = Lock()  # whoever reads the lines is in another thread
        self._rest = b""
        self._is_long = False  # the rest of the line is left out

    def feed(self, data: bytes) -> list[str]:
        """Take more of what the program prints; the lines that were kept of it.

        A line is kept when it is complete, and cut at 4 KiB.
        """
        *lines, rest = (self._rest + data).split(b"\n")
        kept = [text for line in lines if (text := self._take(line)) is not None]
        if len(rest) > _LINE_BYTES and not self._is_long:
            start = self._take(rest)
            kept += [] if start is None else [start]
            self._is_long = True
        self._rest = b"" if self._is_long else rest
        return kept

    def finish(self) -> list[str]:
        """There is no more; the line that was not complete."""
        return self.feed(b"\n") if self._rest else []

    @property
    def lines(self) -> list[str]:
        """The first lines, then the last ones, each without what a terminal obeys."""
        with self._lock:
            return [text for _, text in (*self._first, *self._last)]

    def settle(self) -> None:
        """What was printed so far belongs to a start that went well, and explains no end."""
        self._settled = monotonic()

    def reason(self) -> str:
        """The lines that say why the program failed, at most three, in one: of those that it
        printed in its last seconds, :data:`RECENT_SECONDS`, and since it :meth:`settled
        <settle>`. Warnings do not stop a program. Where no line tells, the last ones of a start
        may; in the middle of its work they say what it did. "" without any such line."""
        since = monotonic() - RECENT_SECONDS
        with self._lock:
            lines = [
                text
                for at, text in (*self._first, *self._last)
                if text and at >= since and at > self._settled
            ]
        lines = [line for line in lines if not _WARNING.search(line)]
        telling = [line for line in lines if _REASON.search(line)]
        chosen = [*telling[:1], *telling[1:][-2:]] or ([] if self._settled else lines[-3:])
        return " | ".join(one_line(line, _SHOWN) for line in chosen)

    def _take(self, line: bytes) -> str | None:
        if self._is_long:  # its start was taken
            self._is_long = False
            return None
        text = line[:_LINE_BYTES].decode(errors="replace").rstrip("\r")
        if not self._is_wanted(text):
            return None
        shown = one_line(text, 2 * _SHOWN)
        with self._lock:
            where = self._first if len(self._first) < _FIRST_LINES else self._last
            where.append((monotonic(), shown))
        if self.file is not None:
            self.file.write(f"{text}\n".encode())
        return shown

    def _is_wanted(self, text: str) -> bool:
        try:
            return self._keep is None or bool(self._keep(text))
        except Exception:  # noqa: BLE001 - a plugin's; what it cannot judge is not kept
            return False


class LogFile:
    """A file with the first and the last bytes of what is written. A full disk only ends it."""

    def __init__(self, path: Path) -> None:
        """Raises: OSError when it cannot be made, or is there."""
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags, 0o600), "w+b", buffering=0)
        self._size = 0
        self._left_out = 0

    def write(self, data: bytes) -> None:
        """Add to its end, and leave out of its middle what is too much."""
        if self._file.closed:
            return
        try:
            self._file.write(data)
            self._size += len(data)
            if self._size > FIRST_BYTES + 2 * LAST_BYTES:
                self._shorten()
        except OSError:
            self._file.close()

    def remove(self) -> None:
        """It is not needed any more."""
        self._file.close()
        with suppress(OSError):
            self.path.unlink()

    def keep_as(self, stamp: str) -> None:
        """Keep it for a person, under a name that says when."""
        self._file.close()
        kept = self.path.with_name(f"{self.path.stem}.{stamp}.kept")
        with suppress(OSError):
            self.path = self.path.replace(kept)

    def _shorten(self) -> None:
        self._file.seek(self._size - LAST_BYTES)
        last = self._file.read(LAST_BYTES)
        last = last[last.find(b"\n") + 1 :]
        self._left_out += self._size - FIRST_BYTES - len(last)
        self._file.seek(FIRST_BYTES)
        self._file.truncate()
        self._file.write(b"\n... %d bytes are left out here ...\n" % self._left_out)
        self._file.write(last)
        self._size = self._file.tell()


def open_log(folder: Path, name: str) -> LogFile | None:
    """A new log file in ``folder``, or where that cannot be in the folder for temporary files.

    None where neither can be written to: the lines are in memory then. Old files go.
    """
    clean = re.sub(r"[^\w.-]", "_", name)[:60]
    for place in (folder, Path(tempfile.gettempdir()) / f"gemmahub-{_user()}"):
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _is_ours(place):  # anybody may make a folder in the one for temporary files
                continue
            _tidy(place)
            for number in range(1000):
                with suppress(FileExistsError):
                    return LogFile(place / f"{clean}-{os.getpid()}-{number}.log")
    return None


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _is_ours(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == _user()


def _tidy(folder: Path) -> None:
    """Remove what programs of ours left that were killed, and all but the newest kept files."""
    for path in folder.glob("*-*-*.log"):
        owner = path.stem.rsplit("-", 2)[1]
        if owner.isdigit() and not _is_running(int(owner)):
            _remove(path)
    for path in islice(_newest_first(folder), KEPT_FILES - 1, None):
        _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):  # on Windows, one that somebody reads stays until the next time
        path.unlink()


def _newest_first(folder: Path) -> Iterator[Path]:
    found = [(path.stat().st_mtime_ns, path) for path in folder.glob("*.kept")]
    return (path for _, path in sorted(found, reverse=True))


def _is_running(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))
