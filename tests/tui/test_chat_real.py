"""The chat with the real Gemma 3 270M, through real llama.cpp."""

from __future__ import annotations

import asyncio
from typing import Any

from textual.app import App
from textual.widgets import Static

from gemmahub.engines.contract import Sampling, Settings
from gemmahub.service import Library
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.widgets.chat_lines import ChatFigures, ChatTitle
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.turns import Answer

PROMPT = "The capital of France is"


def test_a_real_model_answers_is_stopped_and_is_kept() -> None:
    hub = Library()
    screen = ChatScreen(hub, "gemma-3-270m", Settings(context=1024))

    class Alone(App[None]):
        def on_mount(self) -> None:
            self.push_screen(screen)

    async def until(condition: Any) -> None:
        for _ in range(3000):
            if condition():
                return
            await asyncio.sleep(0.02)
        raise AssertionError("it never came to pass")

    async def body() -> None:
        async with Alone().run_test(size=(80, 24)) as pilot:
            await until(lambda: screen.view.chat)
            title = str(screen.query_one(ChatTitle).render())
            assert title.startswith("Gemma 3 270M · Q4_K_M")
            assert "llama-server" in title
            told = str(screen.query_one(".transcript--told", Static).render())
            assert told.startswith("This model has no chat template: ")
            screen.view.journal.set(sampling=Sampling(temperature=0, max_tokens=24))
            screen.query_one(PromptEditor).text = PROMPT
            await pilot.press("enter")
            await until(lambda: screen.query(Answer) and not screen.view.answering)
            answer = screen.query(Answer).last()
            assert len(answer.source.split()) > 8
            assert "24 tokens" in answer.note
            figures = str(screen.query_one(ChatFigures).render())
            assert "of 1,024 (" in figures
            screen.view.journal.set(sampling=Sampling(temperature=0, max_tokens=900))
            screen.query_one(PromptEditor).text = PROMPT
            await pilot.press("enter")
            await until(
                lambda: len(screen.query(Answer)) == 2 and screen.query(Answer).last().source
            )
            await pilot.press("escape")
            await until(lambda: not screen.view.answering)
            assert "stopped" in screen.query(Answer).last().note
        saved = hub.conversations.load(screen.view.journal.id)
        assert saved.described.reference == "gemma-3-270m:q4_k_m"
        assert [m.finish for m in saved.messages if m.role == "assistant"] == [
            "length",
            "cancelled",
        ]

    asyncio.run(body())
