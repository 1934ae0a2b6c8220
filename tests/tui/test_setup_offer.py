"""Where neither an engine nor a model is here, the UI offers ``gemmahub setup``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.screens.setup_offer import SET_UP, SetupOffer, offer_setup
from tests.tui.library_support import install, loaded, steady_hub

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


async def offered(pilot: Pilot[None], app: GemmahubApp) -> bool:
    """Whether it is offered once the library was looked at, as outside of tests."""
    await loaded(pilot)
    worker = app.run_worker(offer_setup(app, app.library))
    while not (isinstance(app.screen, SetupOffer) or worker.is_finished):
        await pilot.pause(0.02)
    return isinstance(app.screen, SetupOffer)


@pytest.mark.parametrize(("size", "key"), [((80, 24), "enter"), ((20, 5), "escape")])
async def test_enter_leaves_the_ui_for_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], key: str
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "kaggle")
    app = GemmahubApp(steady_hub(tmp_path))
    async with app.run_test(size=size) as pilot:
        assert await offered(pilot, app)
        await pilot.press(key)
        await pilot.pause()
        if key == "escape":
            assert not isinstance(app.screen, SetupOffer)
    assert app.return_value == (SET_UP if key == "enter" else None)


@pytest.mark.parametrize("plugins", ["echo", "kaggle"])
async def test_it_is_not_offered_where_something_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugins: str
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", plugins)
    library = steady_hub(tmp_path)
    if plugins == "kaggle":  # no engine, but a model
        install(tmp_path, "gemma-3-1b-it:q4_0-qat")
    app = GemmahubApp(library)
    async with app.run_test(size=(80, 24)) as pilot:
        assert not await offered(pilot, app)


async def test_in_a_browser_the_command_is_only_named(tmp_path: Path) -> None:
    app = GemmahubApp(steady_hub(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        answers: list[str | None] = []
        app.push_screen(SetupOffer(in_terminal=False), answers.append)
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert answers == [None]
