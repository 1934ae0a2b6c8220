"""Faults of the library that people met, each as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.color import Color

from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.screens.downloads import DownloadsScreen
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.themes import LEAST_CONTRAST, THEMES, contrast
from gemmahub.tui.widgets.detail import DetailPane
from gemmahub.tui.widgets.machine_bar import MachineBar
from gemmahub.tui.widgets.model_table import ModelTable
from tests.tui.library_support import SteadyHub, drawn, loaded

if TYPE_CHECKING:
    from pathlib import Path

    from rich.style import Style

LARGE = (160, 48)
NAMES = [theme.name for theme in THEMES]


def test_contrast_is_that_of_the_standard() -> None:
    """Black on white is 21:1; #777777 on white is the well-known near miss of 4.48:1."""
    white = Color.parse("#ffffff")
    assert contrast(Color.parse("#000000"), white) == pytest.approx(21)
    assert contrast(white, Color.parse("#777777")) == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("theme", NAMES)
async def test_every_cell_of_the_table_can_be_read(hub: SteadyHub, theme: str) -> None:
    """With and without the cursor, and the cursor with and without the focus."""
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        pilot.app.theme = theme
        screen = await loaded(pilot)
        table = screen.query_one(ModelTable)
        for focus in (table, screen.query_one(DetailPane)):
            screen.set_focus(focus)
            await pilot.pause()
            for y in range(table.size.height):
                for segment in table.render_line(y):
                    if segment.text.strip() and segment.style is not None:
                        assert readable(segment.style), (theme, y, segment)


@pytest.mark.parametrize("theme", NAMES)
async def test_words_and_their_grounds_go_together(hub: SteadyHub, theme: str) -> None:
    """Each colour that text has, on each ground that it may stand on."""
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        pilot.app.theme = theme
        await pilot.pause()
        colours = pilot.app.theme_variables
        inks = ("foreground", "text-success", "text-warning", "text-error", "text-primary",
                "text-accent", "foreground-muted", "text-muted")  # fmt: skip
        bad = []
        for name in ("background", "surface", "panel"):
            ground = Color.parse(colours[name])
            for ink in inks:
                ratio = contrast(on(colours[ink], ground), ground)
                if ratio < LEAST_CONTRAST:
                    bad.append(f"{ink} on {name}: {ratio:.2f}")
        letters = Color.parse(colours["bar-text"])
        for name, value in colours.items():
            if name.startswith(("bits-", "part-")):
                ratio = contrast(letters, Color.parse(value))
                if ratio < LEAST_CONTRAST:
                    bad.append(f"bar-text on {name}: {ratio:.2f}")
        assert not bad


def on(colour: str, ground: Color) -> Color:
    """A colour as it is drawn: one that is "auto" is black or white, by the ground."""
    kind, _, share = colour.partition(" ")
    if kind != "auto":
        return ground.blend(Color.parse(colour), Color.parse(colour).a, 1)
    ink = ground.get_contrast_text(float(share.rstrip("%")) / 100)
    return ground.blend(ink, ink.a, 1)


def readable(style: Style) -> bool:
    assert style.color is not None
    assert style.bgcolor is not None
    pair = Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor)
    return contrast(*pair) >= LEAST_CONTRAST


async def test_a_key_pressed_twice_opens_one_screen(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        await loaded(pilot)
        await pilot.press("D", "D", "D")
        assert isinstance(pilot.app.screen, DownloadsScreen)
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, LibraryScreen)


async def test_a_broken_settings_file_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one notice, and in the header for as long as it is broken; repaired, f5 goes on."""
    file = tmp_path / "config.toml"
    file.write_text("this is = = no TOML")
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(file))
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    async with GemmahubApp().run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        screen = pilot.app.screen
        assert isinstance(screen, LibraryScreen)
        assert len(pilot.app._notifications) == 1
        text = drawn(screen)
        assert "looking round" not in text
        assert "config.toml" in screen.query_one(MachineBar).problem
        assert "cannot read the settings file" in text.splitlines()[0]
        file.write_text("")
        await pilot.press("f5")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert screen.overview is not None


async def test_a_click_on_a_cache_type_takes_it(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        pane = screen.query_one(DetailPane)
        lines = drawn(screen).splitlines()
        y = next(n for n, line in enumerate(lines) if "cache [f16]" in line)
        for name in ("q8_0", "q4_0", "f16"):
            await pilot.click(offset=(lines[y].rindex(name if name != "f16" else "[f16]") + 1, y))
            assert pane.cache_type == name
            assert f"[{name}]" in drawn(screen).splitlines()[y]
