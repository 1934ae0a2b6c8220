"""The prompts of a file in a duel: each is asked by itself, all sides get the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from textual import on, work
from textual.message import Message

from gemmahub.errors import GemmahubError
from gemmahub.text.command import command_line
from gemmahub.tui.screens import chat_files
from gemmahub.tui.screens.typed import TypedScreen

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Sampling
    from gemmahub.tui.duel_side import DuelSide

LONGEST: Final = 1024
"""Tokens of an answer."""


@dataclass
class PromptsRead(Message):
    """A file of prompts, or why it is none."""

    path: Path
    prompts: tuple[str, ...]
    error: GemmahubError | None = None


class DuelPrompts(TypedScreen):
    """Asks for a file, reads it beside the screen, and begins."""

    sides: list[DuelSide]
    sampling: Sampling
    file: Path | None

    def may_ask(self) -> bool:
        """Whether a question may be asked now."""
        raise NotImplementedError

    def begin(self, texts: tuple[str, ...], *, alone: bool = False) -> None:
        """Ask all sides."""
        raise NotImplementedError

    @work
    async def action_prompts(self) -> None:
        """Ask all sides each prompt of a file, by itself; `gemmahub quality --prompts` does it."""
        if self.may_ask():
            path = await chat_files.ask_prompts(self.app, self.command_for)
            if path is not None:
                self._read_prompts(path)

    @work(thread=True, exit_on_error=False, group="prompts")
    def _read_prompts(self, path: Path) -> None:
        from gemmahub.service.scoring import read_prompts

        try:
            self.post_message(PromptsRead(path, tuple(read_prompts(str(path)))))
        except GemmahubError as error:
            self.post_message(PromptsRead(path, (), error))

    @on(PromptsRead)
    def _prompts_read(self, event: PromptsRead) -> None:
        if event.error is not None:
            self.notify(event.error.in_full, severity="error", markup=False, timeout=10)
        elif self.may_ask():
            self.file = event.path
            self.begin(event.prompts, alone=True)

    def command_for(self, path: str) -> str:
        """The command that asks them the prompts of a file."""
        names = [side.reference for side in self.sides]
        return command_line(
            "quality", *names, prompts=path, max_tokens=self.sampling.max_tokens or LONGEST
        )
