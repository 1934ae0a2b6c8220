"""Size against quality: the dots are those of the library, the keys go from dot to dot."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Static

from gemmahub.service.size_quality import best_of_their_size
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.screens.sizes import DotField, SizesScreen
from tests.tui.library_support import (
    HERE,
    SteadyHub,
    drawn,
    loaded,
    under_cursor,
)

if TYPE_CHECKING:
    from textual.pilot import Pilot


async def opened(pilot: Pilot[None]) -> SizesScreen:
    await loaded(pilot)
    await pilot.press("P")
    await pilot.pause()
    await pilot.pause()
    screen = pilot.app.screen
    assert isinstance(screen, SizesScreen)
    return screen


def read(screen: SizesScreen) -> str:
    return drawn(screen)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48), (40, 12), (20, 5)])
async def test_keys_go_from_dot_to_dot(hub: SteadyHub, size: tuple[int, int]) -> None:
    async with GemmahubApp(hub).run_test(size=size) as pilot:
        screen = await opened(pilot)
        assert screen.chosen == HERE
        order = [variant.reference for variant in screen.shown]
        await pilot.press("right")
        assert screen.chosen == order[order.index(HERE) + 1]
        await pilot.press("left", "up")
        best = [r for r in order if r in best_of_their_size(screen.variants, screen.measure)]
        assert screen.chosen in best
        for _ in best:
            await pilot.press("up")
        assert screen.chosen == best[-1]
        sizes = {v.reference: v for v in screen.variants}
        assert all(
            (sizes[r].figures["score"] or 0) < (sizes[best[-1]].figures["score"] or 0)
            for r in best[:-1]
        )
        if size[1] >= 24:
            assert "◆" in read(screen)
            assert best[-1] in read(screen)
            assert "the best of its size" in read(screen)
            assert "? Keys" in read(screen)


async def test_enter_goes_to_the_variant_in_the_library(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("up", "up")
        taken = screen.chosen
        await pilot.press("enter")
        await pilot.pause()
        library = pilot.app.screen
        assert isinstance(library, LibraryScreen)
        assert under_cursor(library) == taken


async def test_another_measure_and_a_click(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("t")
        await pilot.pause()
        assert screen.measure.name == "lost"
        assert "Size against lost" in read(screen)
        field = screen.query_one(DotField)
        rows = read(screen).split("\n")[field.region.y : field.region.bottom]
        y = next(n for n, row in enumerate(rows) if "○" in row)
        await pilot.click(DotField, offset=(rows[y].index("○"), y))
        await pilot.pause()
        rows = read(screen).split("\n")[field.region.y : field.region.bottom]
        assert "◇" in rows[y]


async def test_what_the_filter_leaves_out_has_no_dot(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=(120, 40)) as pilot:
        library = await loaded(pilot)
        await pilot.press("slash", *"12b", "enter")
        assert isinstance(library, LibraryScreen)
        await pilot.press("P")
        await pilot.pause()
        screen = pilot.app.screen
        assert isinstance(screen, SizesScreen)
        assert screen.variants
        assert all("12b" in variant.reference for variant in screen.variants)


async def test_without_a_figure_it_says_what_measures_one(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        pilot.app.push_screen(SizesScreen([]))
        await pilot.pause()
        await pilot.pause()
        screen = pilot.app.screen
        assert isinstance(screen, SizesScreen)
        assert "gemmahub quality" in read(screen)
        await pilot.press("right", "up", "t", "enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, LibraryScreen)


async def test_its_command_draws_the_same(hub: SteadyHub, command: Any) -> None:
    async with GemmahubApp(hub).run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        words = shlex.split(screen.command)
        assert str(screen.query_one("#command", Static).content) == f"$ {screen.command}"
    result = command(*words[1:])
    assert result.code == 0, result
    assert "size against score" in result.out
    assert "● fits, ○ does not" in result.out
    assert result.out.count("●") + result.out.count("○") > 20
