"""Variants side by side on the screen: what the command says, its keys, narrow terminals."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from textual.containers import VerticalScroll

from gemmahub.service import Requirements
from gemmahub.service.comparing.rows import sections
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.column_layout import layout
from gemmahub.tui.columns import COLUMNS
from gemmahub.tui.comparison_view import drawn as drawn_lines
from gemmahub.tui.screens.compare import CompareScreen
from gemmahub.tui.screens.library import LibraryScreen
from tests.tui.library_support import (
    HERE,
    SteadyHub,
    drawn,
    loaded,
    table,
)

if TYPE_CHECKING:
    from textual.pilot import Pilot

SMALL, LARGE = (80, 24), (160, 48)
QAT, PTQ = "gemma-3-12b-it:q4_0-qat", "gemma-3-12b-it:q4_k_m"
UNMEASURED = "gemma-4-e2b-it:q4_k_m"


async def compared(pilot: Pilot[None]) -> CompareScreen:
    """The screen in front, once its figures are drawn."""
    await pilot.pause()
    screen = pilot.app.screen
    assert isinstance(screen, CompareScreen)
    await pilot.app.workers.wait_for_complete()
    for _ in range(3):
        await pilot.pause()
    assert screen.comparison is not None
    return screen


async def opened(
    pilot: Pilot[None], hub: SteadyHub, *references: str, **options: Any
) -> CompareScreen:
    await loaded(pilot)
    wanted = Requirements(options.pop("use", "chat"))
    pilot.app.push_screen(CompareScreen(hub, references, wanted, options))
    return await compared(pilot)


def at(screen: CompareScreen) -> int:
    return screen.query_one("#compare", VerticalScroll).scroll_offset.y


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_the_marked_ones_are_compared(hub: SteadyHub, size: tuple[int, int]) -> None:
    async with GemmahubApp(hub).run_test(size=size) as pilot:
        library = await loaded(pilot)
        await pilot.press("c")
        await pilot.pause()
        assert pilot.app.screen is library  # nothing is marked
        await pilot.press("x", "down", "x", "down", "x", "down", "x")
        assert len(table(library).marked) == 3
        await pilot.press("c")
        screen = await compared(pilot)
        text = drawn(screen)  # type: ignore[arg-type]
        assert set(screen.references) == table(library).marked
        assert re.search(rf"[ABC]  {HERE}", text)
        assert "precision, by role" in text
        assert "$ gemmahub compare" in text
        if size == LARGE:
            assert "speed, with the recommended settings" in text
            assert "GiB fits" in text
        await pilot.press("escape")
        assert pilot.app.screen is library
        assert len(table(library).marked) == 3


async def test_it_says_what_the_command_says(hub: SteadyHub, command: Any) -> None:
    async with GemmahubApp(hub).run_test(size=(120, 120)) as pilot:
        screen = await opened(pilot, hub, QAT, PTQ, memory="12GiB", ram="32GiB", use="fast")
        assert screen.comparison is not None
        text = drawn(screen)  # type: ignore[arg-type]
        for section in sections(screen.comparison):
            for row in section.rows:
                line = next(
                    n for n in text.split("\n") if row.label in n and row.cells[0].text in n
                )
                assert all(cell.marked in line for cell in row.cells)
        assert "B against A: 774 MB smaller" in text
        assert f"$ {screen.command}" in text
        ours = screen.comparison.as_json()
    words = shlex.split(screen.command)
    assert words[-6:] == ["--memory", "12GiB", "--ram", "32GiB", "--use", "fast"]
    result = command(*words[1:], "--json")
    assert result.code == 0, result
    theirs = json.loads(result.out)
    assert theirs["variants"] == json.loads(json.dumps(ours["variants"]))
    assert theirs["differences"] == json.loads(json.dumps(ours["differences"]))


async def test_another_machine_is_in_the_command(
    hub: SteadyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with GemmahubApp(hub).run_test(size=SMALL) as pilot:
        library = await loaded(pilot)
        library.elsewhere = {"machine": "m2-16gb"}
        library.load()
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.press("x", "down", "x", "c")
        screen = await compared(pilot)
        assert screen.command.endswith("--machine m2-16gb")
        assert "Mac with M2, 16 GB" in drawn(screen)  # type: ignore[arg-type]
        copied: list[str] = []
        monkeypatch.setattr(pilot.app, "copy_to_clipboard", copied.append)
        await pilot.press("y")
        assert copied == [screen.command]


async def test_keys_go_from_part_to_part_and_scroll(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=SMALL) as pilot:
        screen = await opened(pilot, hub, QAT, PTQ, HERE)
        starts = screen._drawn.starts
        assert len(starts) == 8
        for start in starts[1:4]:
            await pilot.press("tab")
            assert at(screen) == start
        await pilot.press("shift+tab")
        assert at(screen) == starts[2]
        await pilot.press("down", "j", "k")
        assert at(screen) == starts[2] + 1
        await pilot.press("end")
        last = at(screen)
        assert last > starts[3]
        assert "best in its row" in drawn(screen)  # type: ignore[arg-type]
        await pilot.press("tab")
        assert at(screen) == 0  # from the end to the start
        await pilot.press("pagedown")
        assert 5 < at(screen) < 24
        await pilot.press("g", "shift+tab")
        assert at(screen) == last
        await pilot.press("home")
        assert at(screen) == 0


async def test_what_cannot_be_compared_is_said(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=SMALL) as pilot:
        await loaded(pilot)
        pilot.app.push_screen(CompareScreen(hub, [QAT, "no-such-model"], Requirements()))
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert "no model is called 'no-such-model'" in drawn(pilot.app.screen)  # type: ignore[arg-type]
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, LibraryScreen)


@pytest.mark.parametrize("width", [150, 77, 60, 40, 24, 9])
def test_lines_are_never_wider_than_the_screen(hub: SteadyHub, width: int) -> None:
    machine = hub.machine_for("rtx-3090")
    comparison = hub.compare([QAT, UNMEASURED, HERE], Requirements(), machine)
    found = drawn_lines(comparison, width)
    lines = [line.plain.rstrip() for line in found.lines]
    assert max(map(cell_len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for start, title in zip(
        found.starts, ("file", "prec", "memory", "speed", "qual"), strict=False
    ):
        assert lines[start].strip().startswith(title[:3])
    if width >= 77:  # columns beside each other
        assert any(
            line.startswith("4,096 f16") and line.count("GiB") == 2 and " - " in line
            for line in lines
        )
    elif width >= 24:
        assert re.search(r"4,096 f16 A 10\.75 GiB fits B - C \d\.\d\d GiB fits", text)
    gauges = [line for line in lines if line.startswith("4,096 f16") and "━" in line]
    assert bool(gauges) == (width >= 150)


# --- columns of the library -----------------------------------------------------------------------


def test_columns_of_a_wide_screen() -> None:
    """At 160 by 48 the table has 155 cells for its columns: all but what the name says, too."""
    every = [column.key for column in COLUMNS]
    assert [column.key for column, _ in layout(155).columns] == [
        key for key in every if key != "parameters"
    ]
    widths = {column.key: cells for column, cells in layout(155).columns}
    assert widths["precision"] >= 16
    assert widths["where"] >= 8
    assert widths["model"] >= 40


def test_columns_of_a_small_screen() -> None:
    keys = [column.key for column, _ in layout(77).columns]
    assert keys == [
        "model", "precision", "score", "speed", "context", "memory", "why", "fit",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "at_13", "at_19", "at_24"),
    [
        ("Q4_0 QAT (not measured)", "Q4_0 QAT, ?", "Q4_0 QAT, ?", "Q4_0 QAT (not measured)"),
        ("Q4_K_M (not measured)", "Q4_K_M, ?", "Q4_K_M, ?", "Q4_K_M (not measured)"),
        ("UD-Q4_K_XL QAT (not measured)", "UD-Q4_K…L QAT", "UD-Q4_K_XL QAT, ?",
         "UD-Q4_K_XL QAT, ?"),
        ("UD-Q4_K_XL int4 QAT", "UD-Q4_K…L QAT", "UD-Q4_K_XL int4 QAT", "UD-Q4_K_XL int4 QAT"),
        ("Q4_0 mixed QAT", "Q4_0 QAT", "Q4_0 mixed QAT", "Q4_0 mixed QAT"),
        ("Q4_0 int4 QAT", "Q4_0 int4 QAT", "Q4_0 int4 QAT", "Q4_0 int4 QAT"),
        ("Q8_0 int8", "Q8_0 int8", "Q8_0 int8", "Q8_0 int8"),
    ],
)  # fmt: skip
def test_a_precision_says_as_much_as_it_has_room_for(
    text: str, at_13: str, at_19: str, at_24: str
) -> None:
    precision = next(column for column in COLUMNS if column.key == "precision")
    found = [precision.cut(text, width) for width in (13, 19, 24)]
    assert found == [at_13.ljust(13), at_19.ljust(19), at_24.ljust(24)]
