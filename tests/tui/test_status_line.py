"""What goes on behind a screen stands on every screen, and in the row of its model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.service.progress import Progress
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.downloads import Download
from gemmahub.tui.screens.plugins import PluginsScreen
from gemmahub.tui.widgets.status_line import StatusLine
from tests.tui.library_support import HERE, SteadyHub, drawn, install, loaded, steady_hub

if TYPE_CHECKING:
    from pathlib import Path

COMING = "gemma-3-1b-it:q4_0-qat"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteadyHub:
    """One installed model, and the catalogue."""
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    install(tmp_path, HERE)
    return steady_hub(tmp_path)


def coming() -> Download:
    """A download of which 42 % are here, with three minutes to go."""
    plan: Any = SimpleNamespace(
        variant=SimpleNamespace(reference=COMING), size_bytes=1000, fetch_bytes=1000
    )
    download = Download(plan)
    download.state = "running"
    download.report(Progress("x", "fetching", 420, 1000, 420, 1000, 0, 1, 10.0, 180.0, 180.0))
    return download


async def test_a_download_is_in_its_row_and_on_every_screen(hub: SteadyHub) -> None:
    app = GemmahubApp(hub)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await loaded(pilot)
        assert not screen.query_one(StatusLine).display
        download = coming()
        app.downloads.all.append(download)
        waiting = coming()
        waiting.state = "waiting"
        app.downloads.all.append(waiting)
        screen._follow_downloads()
        screen.query_one(StatusLine).look()
        await pilot.pause()
        text = drawn(screen)
        row = next(line for line in text.splitlines() if line.startswith("│") and COMING in line)
        assert "↓ 42 %" in row
        assert f"↓ {COMING} 42% 3 min · 1 waits" in text
        await pilot.press("p")
        await pilot.pause()
        assert isinstance(app.screen, PluginsScreen)
        assert str(app.screen.query_one(StatusLine).render()).startswith(f"↓ {COMING} 42%")
        app.downloads.all.clear()
        app.screen.query_one(StatusLine).look()
        assert not app.screen.query_one(StatusLine).display
