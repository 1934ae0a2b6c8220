"""A conversation that is held and not kept: nothing of it is written to a disk."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gemmahub.conversations.records import Described, Saved, SavedMessage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.conversations.records import Timings
    from gemmahub.engines.contract import ToolCall


class MemoryJournal:
    """What a :class:`~gemmahub.conversations.Journal` does, without a file."""

    id = ""  # what is not kept has no name

    def __init__(self, described: Described, messages: Sequence[SavedMessage] = ()) -> None:
        self._described = described
        self._title = ""
        self._messages = list(messages)
        self._answer: list[str] = []
        self._thought: list[str] = []

    def saved(self) -> Saved:
        """The conversation so far."""
        messages = list(self._messages)
        if messages and (self._answer or self._thought):  # one that was left as it came
            text, thought = "".join(self._answer), "".join(self._thought)
            messages[-1] = replace(messages[-1], text=text, thought=thought)
        return Saved(self.id, self._described, self._title, messages=tuple(messages))

    @property
    def begun(self) -> bool:
        """Whether there is something in it."""
        return bool(self._messages)

    def set(self, **values: Any) -> None:
        """Change the title or what the conversation is held with (fields of ``Described``)."""
        self._title = values.pop("title", self._title)
        self._described = replace(self._described, **values)

    def add(
        self,
        role: str,
        text: str,
        images: Sequence[str | Path] = (),
        audio: Sequence[str | Path] = (),
        tool_call_id: str = "",
    ) -> int:
        """A whole turn; returns its number."""
        turn = SavedMessage(
            role,
            text,
            images=tuple(map(str, images)),
            audio=tuple(map(str, audio)),
            tool_call_id=tool_call_id,
        )
        return self._append(turn)

    def cut(self, number: int) -> None:
        """The messages from that number on are gone."""
        self._messages = list(self.saved().messages[:number])
        self._answer, self._thought = [], []

    def begin_answer(self, model: str) -> int:
        """An answer begins; its number is what ``part`` and ``end_answer`` name."""
        return self._append(SavedMessage("assistant", "", model=model))

    def part(self, number: int, text: str, thought: str = "") -> None:
        """More of the answer, after more of its thought."""
        self._answer.append(text)
        self._thought.append(thought)

    def call(self, number: int, call: ToolCall) -> None:
        """The answer calls a tool."""
        asked = self._messages[-1]
        self._messages[-1] = replace(asked, tool_calls=(*asked.tool_calls, call))

    def end_answer(
        self, number: int, finish: str, timings: Timings | None = None, error: str = ""
    ) -> None:
        """The answer has ended."""
        ended = self.saved().messages[-1]
        self._messages[-1] = replace(ended, finish=finish, timings=timings, error=error)
        self._answer, self._thought = [], []

    def close(self) -> None:
        """There is nothing to close."""

    def _append(self, message: SavedMessage) -> int:
        number = len(self._messages)
        self._messages = [*self.saved().messages, replace(message, number=number)]
        self._answer, self._thought = [], []
        return number
