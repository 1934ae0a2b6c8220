"""One key copies a turn, and pressed again its blocks of code; typing is never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.events import Paste
from textual.widgets.markdown import MarkdownFence

from gemmahub.tui.screens import chat_copying
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.turns import Answer
from tests.tui.chat_support import ask, chat, run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from gemmahub.service import Library

ANSWER = """So:

```python
one = 1
```

or

```
two
lines
```
"""


def test_the_key_repeated_copies_each_block_of_code(
    echo_hub: Library, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with chat(echo_hub, str(tiny_model), notices=True) as (screen, pilot):
            await ask(screen, pilot, "plain")
            await screen.query_one("#transcript").mount(Answer(9, "tiny", ANSWER))
            await pilot.pause()

            async def copied() -> tuple[str, str]:
                await pilot.press("f4")
                return pilot.app.clipboard, list(pilot.app._notifications)[-1].message

            assert await copied() == (
                ANSWER,
                f"Copied {len(ANSWER)} characters. F4 again: block 1 of its code.",
            )
            text, told = await copied()
            assert text == "one = 1"
            assert told.startswith("Copied block 1 of 2 of code (python, 1 line).")
            assert [b.has_class("-copied") for b in screen.query(MarkdownFence)] == [True, False]
            text, told = await copied()
            assert text == "two\nlines"
            assert told == "Copied block 2 of 2 of code (2 lines). F4 again: all of it."
            assert (await copied())[0] == ANSWER
            assert (await copied())[0] == "one = 1"
            monkeypatch.setattr(chat_copying, "AGAIN_SECONDS", 0.0)
            assert (await copied())[0] == ANSWER
            await pilot.press("ctrl+up", "ctrl+up")  # the first answer: it has no code
            assert (await copied())[0] == "plain"
            assert (await copied())[0] == "plain"

    run(body())


def test_a_paste_on_a_focused_turn_goes_to_the_editor(echo_hub: Library, tiny_model: Path) -> None:
    async def body() -> None:
        async with chat(echo_hub, str(tiny_model)) as (screen, pilot):
            await ask(screen, pilot, "first")
            await pilot.press("ctrl+up")
            assert isinstance(screen.focused, Answer)
            pilot.app.post_message(Paste("two\nlines"))
            await pilot.pause()
            assert screen.query_one(PromptEditor).text == "two\nlines"
            assert isinstance(screen.focused, PromptEditor)

    run(body())
