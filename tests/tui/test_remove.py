"""Removing a model in the library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.screens.remove import RemoveScreen
from tests.tui.library_support import HERE, drawn, install, loaded, steady_hub, under_cursor

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from textual.pilot import Pilot

    from gemmahub.service import Library
    from gemmahub.service.disk import Removing


async def asked(pilot: Pilot[None]) -> RemoveScreen:
    """The screen in front, once it knows what would go."""
    await pilot.press("X")
    screen = pilot.app.screen
    assert isinstance(screen, RemoveScreen)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    return screen


async def test_a_model_is_removed_after_saying_what_goes(tmp_path: Path) -> None:
    hub = steady_hub(tmp_path)
    path = install(tmp_path, HERE)
    async with GemmahubApp(hub).run_test(size=(120, 40)) as pilot:
        library = await loaded(pilot)
        assert under_cursor(library) == HERE
        screen = await asked(pilot)
        text = drawn(screen)  # type: ignore[arg-type]
        assert "freed in" in text
        assert str(path)[:40] in text
        assert f"$ gemmahub rm {HERE}" in text
        assert path.exists()
        await pilot.press("escape")
        assert path.exists()
        await asked(pilot)
        await pilot.press("R")
        await pilot.app.workers.wait_for_complete()
        library = await loaded(pilot)
        assert not path.exists()
        assert library.overview is not None
        row = next(row for row in library.overview.rows if row.variant.reference == HERE)
        assert not row.installed


async def test_what_is_not_here_cannot_be_removed(tmp_path: Path) -> None:
    async with GemmahubApp(steady_hub(tmp_path)).run_test() as pilot:
        library = await loaded(pilot)
        await pilot.press("end", "X")
        assert pilot.app.screen is library
        assert "is not on this machine" in list(pilot.app._notifications)[-1].message


async def test_a_removal_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = steady_hub(tmp_path)
    path = install(tmp_path, HERE)

    def full(_: Library, removing: Removing) -> None:
        raise GemmahubError(f"cannot write for {removing.reference}", "free some space")

    monkeypatch.setattr("gemmahub.service.disk.remove", full)
    async with GemmahubApp(hub).run_test(size=(120, 40)) as pilot:
        await loaded(pilot)
        screen = await asked(pilot)
        await pilot.press("R")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert "free some space" in drawn(screen)  # type: ignore[arg-type]
        assert path.exists()
