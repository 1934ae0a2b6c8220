"""What a chat shows can be read in every theme: thoughts, code, notes, with and without focus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.config import Config
from gemmahub.service import Library
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.themes import THEMES
from gemmahub.tui.widgets.thought import Thought
from gemmahub.tui.widgets.turns import Answer
from gemmahub.tui.word_marks import mark, words_shown
from tests.tui.test_library_faults import readable

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = """It **is** so, says `this`:

# Why

```python
def f(x: int) -> str:  # as ever
    return "a" * 2
```

> a quotation

1. first
2. [second](https://localhost/)
"""


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
async def test_every_word_of_a_chat_can_be_read(
    tmp_path: Path, tiny_model: Path, theme: str
) -> None:
    hub = Library(config=Config(tmp_path / "cache", tmp_path / "data", backend="echo"))
    async with GemmahubApp(hub).run_test(size=(100, 50)) as pilot:
        pilot.app.theme = theme
        screen = ChatScreen(hub, str(tiny_model))
        await pilot.app.push_screen(screen)
        answer = Answer(1, "tiny", ANSWER, "hm, well", "thought for 12 s, 340 tokens")
        answer.note, answer.bad = "failed: it is broken", True
        plain = Answer(2, "tiny", " and on", plain=True, prompt="It goes on")
        plain.note = "5 tokens · 9.4 tokens/s"
        await screen.query_one("#transcript").mount_all([answer, plain])
        await pilot.pause()
        answer.query_one(Thought).toggle()
        mark(words_shown(answer), frozenset(range(0, 40, 3)))
        for focus in (screen.query_one("#prompt"), answer, plain):
            screen.set_focus(focus)
            await pilot.pause()
            lines = screen._compositor.render_strips()
            assert "340 tokens" in "\n".join(line.text for line in lines)
            for line in lines[: screen.query_one("#transcript").region.bottom]:
                for segment in line:
                    if any(letter.isalnum() for letter in segment.text) and segment.style:
                        assert readable(segment.style), (theme, focus, segment)
