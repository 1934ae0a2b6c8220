"""A conversation that is being held: every change is on disk before it is shown."""

from __future__ import annotations

import contextlib
import os
from dataclasses import fields
from time import time
from typing import TYPE_CHECKING, Any, Final

from gemmahub.conversations import lines
from gemmahub.conversations.line_records import LAST_NUMBER
from gemmahub.conversations.records import Described, Saved, Timings
from gemmahub.errors import GemmahubError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import ToolCall

_LOCKED_BYTE: Final = (1 << 31) - 2  # the CRT's offsets are 32 bits here
_HEAD: Final = frozenset(entry.name for entry in fields(Described)) | {"title"}


class Journal:
    """Appends to the file of one conversation; made by the store.

    A line is handed to the system in one ``write``, so that it survives the end of this program
    at any moment; the end of an answer is also synchronised with the disk. One writer at a time:
    a second one is refused. A full disk or a lost one is said by :class:`GemmahubError`.

    The file of a new conversation is made with its first message, so that a look at a model leaves
    no empty conversation behind.
    """

    def __init__(self, path: Path, id_: str, head: dict[str, Any] | None, saved: Saved) -> None:
        """``head`` is the first line of a conversation that has no file yet.

        Raises: UsageError when it is open elsewhere; GemmahubError.
        """
        self.path = path
        self._id = id_
        self._head = head
        self._file: int | None = None
        self._next = saved.messages[-1].number + 1 if saved.messages else 0
        self._answering = False
        if self._next > LAST_NUMBER // 2:
            raise GemmahubError(
                f"the conversation {id_} cannot be continued: its messages have numbers up to "
                "the largest that can be read",
                "its file is damaged: export the conversation, and begin a new one",
            )
        if head is None:
            self._open()

    @property
    def id(self) -> str:
        """What the conversation is called in the store."""
        return self._id

    @property
    def begun(self) -> bool:
        """Whether it has a file."""
        return self._head is None

    def saved(self) -> Saved:
        """The conversation as it is on disk now.

        Raises: GemmahubError.
        """
        if self._head is not None:
            return lines.read(self._id, lines.pack(self._head))
        try:
            return lines.read_file(self.path, running=self._answering)
        except (OSError, lines.Damaged) as error:
            raise _lost(self.path, error) from None

    def set(self, **values: Any) -> None:
        """Change the title or what the conversation is held with (fields of ``Described``)."""
        unknown = set(values) - _HEAD
        if unknown:
            raise ValueError(f"a conversation has no {', '.join(sorted(unknown))}")
        if self._head is not None:
            self._head = self._head | _plain(values)
        else:
            self._write({"kind": "set", "at": time(), **_plain(values)})

    def add(
        self,
        role: str,
        text: str,
        images: Sequence[str | Path] = (),
        audio: Sequence[str | Path] = (),
        tool_call_id: str = "",
    ) -> int:
        """A whole turn; returns its number."""
        number = self._next
        record = {"kind": "message", "n": number, "role": role, "text": text, "at": time()}
        more = {
            "images": list(map(str, images)),
            "audio": list(map(str, audio)),
            "tool_call_id": tool_call_id,
        }
        self._write(record | {name: value for name, value in more.items() if value})
        self._next += 1
        return number

    def cut(self, number: int) -> None:
        """The messages from that number on are gone."""
        if number < self._next:
            self._write({"kind": "cut", "n": number, "at": time()})
            self._next = number

    def begin_answer(self, model: str) -> int:
        """An answer begins; its number is what ``part`` and ``end_answer`` name."""
        number = self._next
        self._write({"kind": "answer", "n": number, "model": model, "at": time()})
        self._next += 1
        self._answering = True
        return number

    def part(self, number: int, text: str, thought: str = "") -> None:
        """More of the answer, after more of its thought."""
        if text or thought:
            record = {"kind": "part", "n": number, "text": text}
            self._write(record | ({"thought": thought} if thought else {}))

    def call(self, number: int, call: ToolCall) -> None:
        """The answer calls a tool."""
        told = {"id": call.id, "name": call.name, "arguments": call.arguments}
        self._write({"kind": "call", "n": number, **told})

    def end_answer(
        self, number: int, finish: str, timings: Timings | None = None, error: str = ""
    ) -> None:
        """The answer has ended."""
        record: dict[str, Any] = {"kind": "end", "n": number, "finish": finish, "at": time()}
        if timings is not None:
            record["timings"] = {f.name: getattr(timings, f.name) for f in fields(timings)}
        if error:
            record["error"] = error
        self._answering = False
        self._write(record)
        if self._file is not None:
            with contextlib.suppress(OSError):  # not every file system can
                os.fsync(self._file)

    def close(self) -> None:
        """Let others write; twice is fine."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _write(self, record: dict[str, Any]) -> None:
        data = lines.pack(record)
        if self._head is not None:
            data, self._head = lines.pack(self._head) + data, None
            self._open(new=True)
        if self._file is None:
            raise GemmahubError("the conversation is closed", "open it again")
        try:
            written = os.write(self._file, data)
            while written < len(data):  # a full disk may take a part first
                written += os.write(self._file, data[written:])
        except OSError as error:
            raise _lost(self.path, error) from None

    def _open(self, *, new: bool = False) -> None:
        flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            if new:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                flags |= os.O_CREAT | os.O_EXCL
            self._file = os.open(self.path, flags, 0o600)
            _lock(self._file)
            if not new:
                self._end_torn_line(self._file)
        except BlockingIOError:
            self.close()
            raise _open_elsewhere() from None
        except OSError as error:
            self.close()
            raise _lost(self.path, error) from None

    @staticmethod
    def _end_torn_line(file: int) -> None:
        """A line that was cut short must not swallow the next one."""
        size = os.lseek(file, 0, os.SEEK_END)
        if size:
            os.lseek(file, size - 1, os.SEEK_SET)
            if os.read(file, 1) != b"\n":
                os.write(file, b"\n")


@contextlib.contextmanager
def nobody_writes(path: Path) -> Iterator[None]:
    """While it lasts nobody holds the conversation of that file.

    Raises: UsageError when somebody does.
    """
    with contextlib.ExitStack() as after:
        if os.name != "nt":  # an open file cannot be deleted there, whoever has it
            with contextlib.suppress(OSError):  # a broken one may not let itself be opened
                file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                after.callback(os.close, file)
                try:
                    _lock(file)
                except BlockingIOError:
                    raise _open_elsewhere() from None
        yield


def _open_elsewhere() -> UsageError:
    return UsageError("this conversation is open in another gemmahub", "close it there first")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Records of the contract as tables."""
    from dataclasses import asdict, is_dataclass

    return {
        name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        for name, value in values.items()
    }


def _lock(file: int) -> None:
    """Raises: BlockingIOError when another process, or another journal, has the file."""
    if os.name == "nt":
        _lock_a_byte(file)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock_a_byte(file: int) -> None:
    """Windows locks ranges of bytes, and nobody else reads or writes those: one far behind the end
    stands for the file. It is free when the file is closed."""
    import msvcrt

    place = os.lseek(file, 0, os.SEEK_CUR)
    os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except PermissionError as error:  # EACCES: somebody has it
        raise BlockingIOError(error.errno, "locked") from None
    finally:
        os.lseek(file, place, os.SEEK_SET)


def _lost(path: Path, error: Exception) -> GemmahubError:
    reason = getattr(error, "strerror", None) or str(error)
    return GemmahubError(
        f"the conversation cannot be saved: {reason} ({path})",
        "the text on screen is not lost: copy or export it",
    )
