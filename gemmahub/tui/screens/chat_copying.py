"""Copying from a conversation: a turn, then its blocks of code, with one key."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from textual.widgets.markdown import MarkdownFence

from gemmahub.text import one_line, plural

if TYPE_CHECKING:
    from textual.screen import Screen

    from gemmahub.tui.widgets.turns import Turn

AGAIN_SECONDS: Final = 8.0
"""A key that is pressed later than this copies the whole turn again."""
COPIED: Final = "-copied"
"""The class of the block of code that is copied."""


class TurnCopier:
    """What the key copies: pressed once the turn, then each block of code in it, from the first."""

    def __init__(self) -> None:
        self._turn: Turn | None = None
        self._count = 0
        self._at = 0.0

    def copy(self, screen: Screen[Any], turn: Turn) -> None:
        """Copy, over SSH as well (OSC 52), and say what was copied and what is next."""
        blocks = list(turn.query(MarkdownFence))
        again = turn is self._turn and monotonic() - self._at < AGAIN_SECONDS
        self._count = (self._count + 1) % (len(blocks) + 1) if again else 0
        self._turn, self._at = turn, monotonic()
        for block in screen.query(MarkdownFence):
            block.remove_class(COPIED)
        if self._count:
            block = blocks[self._count - 1]
            block.add_class(COPIED)
            block.scroll_visible(animate=False)
            text, told = block.code, _block_text(block, self._count, len(blocks))
        else:
            text, told = turn.source, f"Copied {plural(len(turn.source), 'character')}."
        screen.app.copy_to_clipboard(text)
        if blocks:
            following = (self._count + 1) % (len(blocks) + 1)
            what = f"block {following} of its code" if following else "all of it"
            told += f" F4 again: {what}."
        screen.notify(told, markup=False, timeout=4)


def _block_text(block: MarkdownFence, number: int, count: int) -> str:
    language = f"{one_line(block.lexer, 20)}, " if block.lexer else ""
    lines = plural(len(block.code.splitlines()), "line")
    return f"Copied block {number} of {count} of code ({language}{lines})."
