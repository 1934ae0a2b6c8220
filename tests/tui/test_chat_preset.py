"""A chat is kept as a preset."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from textual.widgets import Input, Static

from gemmahub.config import Config
from gemmahub.service import Library
from gemmahub.service.presets import find_preset, presets
from gemmahub.tui.screens.dialogs import LineDialog
from tests.tui.chat_support import chat, run, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


def notices(pilot: Pilot[None]) -> str:
    return "\n".join(note.message for note in pilot.app._notifications)


async def name_it(pilot: Pilot[None], name: str) -> LineDialog:
    """Press the key, and answer the dialog."""
    await pilot.press("f12")
    await until(lambda: isinstance(pilot.app.screen, LineDialog), "the dialog", pilot)
    dialog: object = pilot.app.screen
    assert isinstance(dialog, LineDialog)
    dialog.query_one(Input).value = name
    await pilot.press("enter")
    return dialog


def test_a_chat_is_kept_as_a_preset(tmp_path: Path, tiny_model: Path) -> None:
    here = Library(config=Config(tmp_path / "cache", tmp_path / "data", backend="echo"))

    async def scenario() -> None:
        async with chat(here, str(tiny_model), context=64, notices=True) as (screen, pilot):
            sampling = screen.view.journal.saved().described.sampling
            screen.view.change(sampling=replace(sampling, temperature=0.25), system="Be kind.")
            dialog = await name_it(pilot, "No Name")
            wrong = str(dialog.query_one(".dialog--error", Static).render())
            assert "make a name" in wrong
            dialog.query_one(Input).value = "kind"
            await pilot.press("enter")
            await until(lambda: presets()[0], "kept", pilot)
            await until(lambda: "gemmahub run @kind" in notices(pilot), "told", pilot)
            await name_it(pilot, "kind")
            await until(lambda: "there is a preset kind already" in notices(pilot), "no", pilot)

    run(scenario())
    assert dict(find_preset("kind").values) == {
        "model": str(tiny_model),
        "context": 64,
        "system": "Be kind.",
        "temperature": 0.25,
    }
