"""The lines of a conversation's file, and what they add up to.

A file is JSON lines, and lines are only ever appended, each with one ``write``: a program that is
killed leaves at most one torn line at the end, and everything before it counts. ASCII only, so
that any text, also one with lone surrogates, comes back as it was.

``head``     what the conversation is held with; the first line
``set``      a new title, or anything else of the head
``message``  a whole turn, with its number ``n``
``answer``   the answer ``n`` begins
``part``     more text of the answer ``n``, or of its thought, written before it is shown
``call``     a tool that the answer ``n`` calls
``end``      the answer ``n`` has ended: why, and its timings
``cut``      the messages from ``n`` on are gone, others take their place

Every line names its message, so that a damaged line costs no more than itself.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gemmahub.conversations.line_records import (
    KINDS,
    AnswerLine,
    CallLine,
    CutLine,
    EndLine,
    Head,
    Line,
    MessageLine,
    PartLine,
    SetLine,
)
from gemmahub.conversations.records import INTERRUPTED, Described, Saved, SavedMessage, Timings
from gemmahub.engines.contract import ToolCall
from gemmahub.records.parsing import Unfit, as_far_as_it_fits, json_value, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.conversations.line_records import TimingsFields

VERSION: Final = 1
MAX_LINE: Final = 64 << 20
"""A longer line is damage: nobody types or generates that in one piece."""
MAX_FILE: Final = 256_000_000
"""A longer file is not read: a conversation that fills a context of 1,000,000 tokens has 40 MB."""

_NO_HEAD: Final = "its first line does not describe a conversation"
_LINES: Final = msgspec.json.Decoder(Line)


class Damaged(Exception):
    """A line, or a file, that makes no sense. The message is a sentence for the user."""


class Newer(Damaged):
    """A file of a later version of gemmahub, which is left as it is."""


def pack(record: dict[str, Any]) -> bytes:
    """A record as a line."""
    return json.dumps(record, default=str, separators=(",", ":")).encode("ascii") + b"\n"


def read_file(path: Path, *, running: bool = False) -> Saved:
    """The conversation in a file; see :func:`read`. Raises: OSError; Damaged."""
    try:
        data = read_bounded(path, MAX_FILE)
    except Unfit as error:
        raise Damaged(str(error)) from None
    return read(path.stem, data, running=running)


def read(id_: str, data: bytes, *, running: bool = False) -> Saved:
    """What the lines of a file add up to. An unfinished answer counts as interrupted, unless the
    conversation is ``running``.

    A line that does not fit costs itself; a field of a line that does not fit takes its default.
    Raises: Damaged when the first line is not the head of a conversation.
    """
    lines = io.BytesIO(data)
    first = lines.readline()
    if not first.strip():
        raise Damaged("the file is empty" if len(data) < 2 else "its first line is empty")
    fold = _Fold(id_, *_head(first))
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        try:
            record, unfit = _line(line)
            fold.take(record)
        except Damaged as error:
            unfit = (str(error),)
        # What follows the last line break was not written to its end, which is no damage.
        if unfit and line.endswith(b"\n"):
            fold.damaged += 1
            fold.problem = fold.problem or f"line {number}: {unfit[0]}"
    return fold.saved(running=running)


def _head(line: bytes) -> tuple[Head, str]:
    """The head, and what of it does not fit."""
    record = _table(line, _NO_HEAD)
    if record.get("kind") != "head":
        raise Damaged(_NO_HEAD)
    version = record.get("version")
    if type(version) is not int or version < 1:
        raise Damaged("its first line does not state its format")
    if version > VERSION:
        shown = f"format {version}" if version < 10**6 else "another format"
        raise Newer(f"it was written by a newer gemmahub ({shown})")
    try:
        return msgspec.convert(record, Head), ""
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # something in it is odd: look closer
    try:
        head, unfit = as_far_as_it_fits(record, Head)
    except Unfit as error:
        raise Damaged(f"{_NO_HEAD}: {error}") from None
    return head, f"line 1: {unfit[0]}" if unfit else ""


def _line(line: bytes) -> tuple[Line, tuple[str, ...]]:
    """The record in a line, and why some of its fields have their default. Raises: Damaged."""
    if len(line) > MAX_LINE:
        raise Damaged("it is too long")
    try:
        return _LINES.decode(line), ()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # something in it is odd, or half of a surrogate pair: look closer
    values = _table(line, "it is not a record")
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise Damaged("it is a record of an unknown kind")
    try:
        return as_far_as_it_fits(values, KINDS[kind])
    except Unfit as error:
        raise Damaged(str(error)) from None


def _table(line: bytes, otherwise: str) -> dict[str, Any]:
    """Raises: Damaged, with that message."""
    try:
        values = json_value(line) if len(line) <= MAX_LINE else None
    except Unfit:
        values = None
    if not isinstance(values, dict):
        raise Damaged(otherwise)
    return values


@dataclass
class _Fold:
    """Takes one record after the other."""

    id: str
    head: Head
    problem: str
    messages: list[SavedMessage] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    changed: float = 0.0
    damaged: int = 0

    def __post_init__(self) -> None:
        self.damaged = int(bool(self.problem))

    def take(self, record: Line) -> None:
        """Raises: Damaged for a record that does not follow those before it."""
        match record:
            case PartLine():
                self._demand_open(record.n)
                self.parts.append(record.text)
                self.thoughts.append(record.thought)
            case CallLine():
                self._demand_open(record.n)
                self.calls.append(ToolCall(record.id, record.name, record.arguments))
            case SetLine():
                for name in Head.__struct_fields__:
                    value = getattr(record, name, msgspec.UNSET)
                    if value is not msgspec.UNSET:
                        setattr(self.head, name, value)
            case MessageLine():
                self._append(_message(record))
            case AnswerLine():
                self._append(
                    SavedMessage("assistant", "", record.at, model=record.model, number=record.n)
                )
            case EndLine():
                self._end(record)
            case CutLine():
                self._close()
                self.messages = [m for m in self.messages if m.number < record.n]
        self.changed = max(self.changed, record.at)

    def saved(self, *, running: bool) -> Saved:
        self._close(running=running)
        head = self.head
        return Saved(
            id=self.id,
            described=Described(
                reference=head.reference,
                model=head.model,
                precision=head.precision,
                engine=head.engine,
                settings=head.settings.as_settings(),
                sampling=head.sampling.as_sampling(),
                system=head.system,
                against=head.against,
            ),
            title=head.title,
            created=head.created,
            changed=max(head.created, self.changed),
            messages=tuple(self.messages),
            damaged=self.damaged,
            problem=self.problem,
        )

    def _append(self, message: SavedMessage) -> None:
        if self.messages and message.number <= self.messages[-1].number:
            raise Damaged("a message is out of order")
        self._close()
        self.messages.append(message)

    def _demand_open(self, number: int) -> None:
        """A part belongs to the answer that is open, or to one whose beginning was damaged."""
        last = self.messages[-1] if self.messages else None
        if last is None or number > last.number:
            self._close()
            self.messages.append(SavedMessage("assistant", "", number=number))
        elif number != last.number or not _is_open(last):
            raise Damaged("a part has no answer")

    def _end(self, record: EndLine) -> None:
        self._demand_open(record.n)
        ended = self._with_parts(record.finish or INTERRUPTED)
        timings = _timings(record.timings)
        self.messages[-1] = replace(ended, error=record.error, timings=timings)
        self._forget_parts()

    def _with_parts(self, finish: str) -> SavedMessage:
        """The last answer with what came of it."""
        return replace(
            self.messages[-1],
            text="".join(self.parts),
            finish=finish,
            thought="".join(self.thoughts),
            tool_calls=tuple(self.calls),
        )

    def _forget_parts(self) -> None:
        self.parts, self.thoughts, self.calls = [], [], []

    def _close(self, *, running: bool = False) -> None:
        """An answer that got no end was interrupted, and what came of it counts."""
        if self.messages and _is_open(self.messages[-1]):
            self.messages[-1] = self._with_parts("" if running else INTERRUPTED)
        self._forget_parts()


def _is_open(message: SavedMessage) -> bool:
    return message.role == "assistant" and not message.finish


def _message(record: MessageLine) -> SavedMessage:
    return SavedMessage(
        role=record.role,
        text=record.text,
        at=record.at,
        images=record.images or (),
        audio=record.audio or (),
        timings=_timings(record.timings),
        finish=record.finish,
        error=record.error,
        model=record.model,
        number=record.n,
        thought=record.thought,
        tool_call_id=record.tool_call_id,
    )


def _timings(values: TimingsFields | None) -> Timings | None:
    return None if values is None else Timings(**msgspec.structs.asdict(values))
