"""An answer that grows is the Markdown that it would be if it had come at once."""

from __future__ import annotations

import pytest
from textual.app import App
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownBlock

from gemmahub.tui.widgets.turns import Answer

TABLE = "| a | b |\n|---|---|\n" + "| a cell of the table | another one |\n" * 60
CODE = "```python\n" + "total = first_value + second_value\n" * 70 + "```\n"
TEXTS = {
    "table": f"Before it.\n\n{TABLE}\nAfter it.\n",
    "code": f"Before it.\n\n{CODE}\nAfter it.\n",
    "mixed": "# A title\n\nSome **bold** words.\n\n- one\n  - in it\n- two\n\n1. x\n\n> said\n\n"
    * 4,
    "words": "word " * 600,
}


def shape(block: MarkdownBlock) -> object:
    """What kind of block it is, what it says, and the same of those in it."""
    inside = [shape(child) for child in block.children if isinstance(child, MarkdownBlock)]
    return type(block).__name__, getattr(block, "code", ""), str(block._content), inside


@pytest.mark.parametrize("name", TEXTS)
async def test_pieces_make_the_same_blocks_as_the_whole_text(name: str) -> None:
    text = TEXTS[name]
    app: App[None] = App()
    async with app.run_test() as pilot:
        grown, whole = Answer(1, "who"), Answer(2, "who", text)
        await app.mount_all([grown, whole])
        for start in range(0, len(text), 197):
            await grown.append(text[start : start + 197])
        await pilot.pause()
        one, other = (
            [
                shape(child)
                for child in turn.query_one(Markdown).children
                if isinstance(child, MarkdownBlock)
            ]
            for turn in (grown, whole)
        )
        assert one == other
        assert grown.source == whole.source == text
