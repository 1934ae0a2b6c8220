"""The duel: one prompt, two variants, through the worker processes of the echo plugin."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Static

from gemmahub.engines.contract import Settings
from gemmahub.service import Library, PlanOptions
from gemmahub.text import format_gib
from gemmahub.tui.duel_rounds import fit_together
from gemmahub.tui.screens.duel import DuelScreen
from gemmahub.tui.widgets.chat_lines import ChatTitle
from gemmahub.tui.widgets.duel_pane import DuelPane
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.turns import Answer
from gemmahub_echo.backend import EchoBackend
from tests.tui.chat_support import Alone, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from textual.pilot import Pilot


@asynccontextmanager
async def duel(
    echo_hub: Library, *models: str, size: tuple[int, int] = (100, 30), **options: Any
) -> AsyncIterator[tuple[DuelScreen, Pilot[None]]]:
    screen = DuelScreen(echo_hub, models, Settings(context=2048, options=options))
    async with Alone(screen).run_test(size=size) as pilot:
        await until(lambda: screen.at_once is not None, "planned", pilot)
        yield screen, pilot


async def ask(screen: DuelScreen, pilot: Pilot[None], text: str) -> None:
    screen.query_one(PromptEditor).text = text
    await pilot.press("enter")
    await until(lambda: not screen._answering, "answered", pilot)


def answers(screen: DuelScreen) -> list[list[str]]:
    return [[turn.source for turn in pane.query(Answer)] for pane in screen.query(DuelPane)]


@pytest.mark.parametrize("at_once", [True, False])
def test_both_answer(echo_hub: Library, tiny_model: Path, at_once: bool) -> None:
    async def body() -> None:
        async with duel(echo_hub, str(tiny_model), str(tiny_model)) as (screen, pilot):
            screen.at_once = at_once  # nothing is known of the memory of so small a file
            await ask(screen, pilot, "who wins?")
            await ask(screen, pilot, "and now?")
            assert answers(screen) == [["who wins?", "and now?"]] * 2
            assert [side.running is not None for side in screen.sides] == [at_once] * 2
            for pane in screen.query(DuelPane):
                assert "Q4_0" in str(pane.query_one(ChatTitle).render())
                assert "tokens" in pane.query(Answer).last().note
            await pilot.press("f4")
            assert pilot.app.clipboard.count("and now?") == 2

    asyncio.run(body())
    assert len(echo_hub.conversations.rows()) == 2


@pytest.mark.parametrize("at_once", [True, False])
def test_only_answers_in_turn_are_remembered_as_how_fast_a_model_is(
    echo_hub: Library, tiny_model: Path, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EchoBackend, "automatic", True)

    async def body() -> None:
        async with duel(echo_hub, str(tiny_model), str(tiny_model)) as (screen, pilot):
            screen.at_once = at_once
            await ask(screen, pilot, "word " * 40)

    asyncio.run(body())
    assert list(echo_hub.speeds.speeds("cpu")) == ([] if at_once else [str(tiny_model)])


def test_one_that_is_not_there_does_not_stop_the_other(echo_hub: Library, tiny_model: Path) -> None:
    async def body() -> None:
        async with duel(echo_hub, str(tiny_model), str(tiny_model) + ".none") as (screen, pilot):
            assert screen.at_once is False
            assert "not known" in str(screen.query_one("#mode", Static).render())
            await ask(screen, pilot, "hello")
            assert answers(screen) == [["hello"], []]
            assert screen.sides[1].failed

    asyncio.run(body())


def test_a_killed_engine_and_a_stop(echo_hub: Library, tiny_model: Path) -> None:
    async def body() -> None:
        async with duel(echo_hub, str(tiny_model), str(tiny_model), delay=0.02) as (screen, pilot):
            screen.at_once = True
            screen.query_one(PromptEditor).text = "word " * 1500
            await pilot.press("enter")
            await until(lambda: all(a and a[0] for a in answers(screen)), "both", pilot)
            running = screen.sides[0].running
            assert running is not None
            os.kill(running.session.pid, signal.SIGKILL)  # type: ignore[attr-defined]
            await until(lambda: screen.sides[0].failed, "crash is told", pilot)
            assert "SIGKILL" in screen.sides[0].state
            await pilot.resize_terminal(20, 5)
            await pilot.press("escape")
            await until(lambda: not screen._answering, "stopped", pilot)
            assert screen.sides[1].state == "stopped"

    asyncio.run(body())


def test_two_models_are_planned_beside_each_other(echo_hub: Library) -> None:
    plan = echo_hub.plan(
        "gemma-3-1b-it:q4_0-qat", PlanOptions(context=4096, memory="8GiB", ram="8GiB")
    )
    fits, words = fit_together([plan, plan])
    assert fits
    for place in plan.memory.places:
        assert f"{place.device} {format_gib(2 * place.total_bytes)} of " in words
    assert not fit_together([plan] * 20)[0]


def test_chance_does_not_decide_a_duel(echo_hub: Library) -> None:
    """All sides answer with the same settings, and each with its likeliest tokens."""
    sides = DuelScreen(echo_hub, ("one", "two")).sides
    assert all("--temperature 0" in side.command for side in sides)
