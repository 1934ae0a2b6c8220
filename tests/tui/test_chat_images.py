"""Images in the chat: a tiny random Gemma 3 with a projector, through real llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.service import Library
from gemmahub.testing.model_writer import WIDTH, write_model
from gemmahub.testing.projector_writer import TOKENS, write_png, write_projector
from gemmahub.tui.screens.dialogs import LineDialog
from gemmahub.tui.widgets.attached_images import AttachedImages
from tests.tui.chat_support import ask, chat, run, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "tiny-F32.gguf")
    write_png(tmp_path / "red.png", 40, 30, lambda x, y: (6 * x, 8 * y, 0))
    return tmp_path


async def attach(pilot: Pilot[None], path: Path) -> None:
    """Attach an image by its key, as a person does."""
    await pilot.press("f7")
    await until(lambda: isinstance(pilot.app.screen, LineDialog), "the dialog is there", pilot)
    pilot.app.screen.query_one("#line").value = str(path)  # type: ignore[attr-defined]
    await pilot.press("enter")
    await pilot.pause()


def test_an_image_goes_along_with_a_question(folder: Path) -> None:
    write_projector(folder / "mmproj-F16.gguf", WIDTH)

    async def body() -> None:
        model = str(folder / "tiny-F32.gguf")
        async with chat(Library(), model, context=512) as (screen, pilot):
            await attach(pilot, folder / "red.png")
            assert "red.png" in str(screen.query_one("#attached").render())
            await ask(screen, pilot, "What is this?")
            assert not screen.query_one(AttachedImages).paths
            first = screen.view.journal.saved().messages
            assert first[0].images == (str(folder / "red.png"),)
            with_image = first[1].timings
            assert with_image is not None
            await pilot.press("ctrl+n")
            await ask(screen, pilot, "What is this?")
            without = screen.view.journal.saved().messages[1].timings
            assert without is not None
            assert with_image.prompt_tokens
            assert without.prompt_tokens
            assert with_image.prompt_tokens >= without.prompt_tokens + TOKENS

    run(body())


def test_what_is_no_image_is_said_and_the_chat_goes_on(folder: Path) -> None:
    write_projector(folder / "mmproj-F16.gguf", WIDTH)
    (folder / "text.png").write_text("no image at all")

    async def body() -> None:
        model = str(folder / "tiny-F32.gguf")
        async with chat(Library(), model, context=512) as (screen, pilot):
            await attach(pilot, folder / "text.png")
            await ask(screen, pilot, "What is this?")
            last = screen.view.journal.saved().messages[-1]
            assert "text.png" in last.error
            await ask(screen, pilot, "And without?")
            assert screen.view.journal.saved().messages[-1].error == ""

    run(body())


def test_without_a_projector_no_image_is_asked_for(folder: Path) -> None:
    async def body() -> None:
        model = str(folder / "tiny-F32.gguf")
        async with chat(Library(), model, context=512) as (screen, pilot):
            await pilot.press("f7")
            await pilot.pause()
            assert pilot.app.screen is screen
            assert "takes no images" in list(pilot.app._notifications)[-1].message

    run(body())
