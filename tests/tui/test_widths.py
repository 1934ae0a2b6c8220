"""A wider terminal never shows less, whole names go before the pane beside them, and the last line
has the keys that matter."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from gemmahub.service.overview import LibraryReading
from gemmahub.tui.app import WIDTHS, GemmahubApp
from gemmahub.tui.column_layout import FULL, layout
from gemmahub.tui.columns import COLUMNS
from gemmahub.tui.sort_filter import Item, SortFilter, folded, item_of, maker_of, ordered
from gemmahub.tui.widgets.detail import DetailPane
from gemmahub.tui.widgets.key_line import KeyLine
from gemmahub.tui.widgets.row_painter import MARKS
from tests.tui.library_support import (
    HERE,
    SteadyHub,
    drawn,
    loaded,
    table,
    under_cursor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.tui.screens.library import LibraryScreen

AROUND = 5
"""Cells of a screen beside the columns: frame, marks and scrollbar."""


@pytest.fixture
def items(hub: SteadyHub) -> list[Item]:
    return [item_of(row) for row in LibraryReading(hub).overview().rows]


def cells(item: Item, width: int) -> dict[str, str]:
    """What a row says in each column of a table of that many cells."""
    return {
        column.key: (
            item.named(column.cut, size) if column.key == "model" else column.shown(item, size)
        ).strip()
        for column, size in layout(width).columns
    }


def test_a_wider_table_has_all_columns_of_a_narrower_one_and_none_is_narrower() -> None:
    for narrow, wide in pairwise(range(1, 300)):
        before, after = (
            {column.key: size for column, size in layout(width).columns} for width in (narrow, wide)
        )
        assert all(after.get(key, 0) >= size for key, size in before.items()), wide


@pytest.mark.parametrize("one_a_model", [True, False])
def test_no_cell_says_less_on_a_wider_terminal(items: list[Item], one_a_model: bool) -> None:
    rows = folded(items, ()) if one_a_model else items
    for item in rows:
        for narrow, wide in pairwise(range(80 - AROUND, 201 - AROUND)):
            before, after = cells(item, narrow), cells(item, wide)
            for key, text in before.items():
                assert cell_len(after[key]) >= cell_len(text), (wide, key, text, after[key])


def test_at_160_columns_no_two_names_are_cut_to_the_same(items: list[Item]) -> None:
    names = [cells(item, 160 - AROUND)["model"] for item in items]
    assert len(set(names)) == len(names)
    assert names == [item.title for item in items]


def test_who_made_a_file_survives_every_cut(items: list[Item]) -> None:
    made = [item for item in items if maker_of(item.title)]
    assert {"lmstudio", "bartowski", "unsloth", "mlx"} <= {maker_of(item.title) for item in made}
    model = next(column for column in COLUMNS if column.key == "model")
    for item in made:
        maker = maker_of(item.title)
        for width in range(18, 41):
            assert item.named(model.cut, width).rstrip().endswith(f"-{maker}"), width
            more = replace(item, more=3).named(model.cut, width)
            assert f"-{maker} " in more, (width, more)
            below = replace(item, below=True).named(model.cut, width)
            assert below.rstrip().endswith(f"-{maker}"), (width, below)
            assert cell_len(below) == cell_len(more) == width


def test_what_says_the_precision_says_nothing_of_the_maker() -> None:
    for title in ("gemma-3-4b-it:q4_0-qat", "gemma-4-e2b-it:ud-q4_k_xl", "a:q8_0", "x.gguf"):
        assert not maker_of(title)


async def test_the_details_stand_beside_the_table_only_where_it_shows_all(hub: SteadyHub) -> None:
    """The width from which they do is that of the style sheet."""
    wide = next(width for width, name in WIDTHS if name == "-vast")
    async with GemmahubApp(hub).run_test(size=(wide - 1, 48)) as pilot:
        screen = await loaded(pilot)
        for width in (wide - 1, wide, wide + 60):
            await pilot.resize_terminal(width, 48)
            await pilot.pause()
            models, pane = table(screen), screen.query_one(DetailPane)
            assert (pane.region.y == models.region.y - 2) is (width >= wide)
            shown = layout(models.scrollable_content_region.width - MARKS)
            assert [column.key for column, _ in shown.columns] == [c.key for c in COLUMNS]
            assert shown.width == FULL
            assert pane.size.width >= 40


@pytest.mark.parametrize("height", [24, 40])
async def test_every_width_shows_the_columns_of_the_one_before(hub: SteadyHub, height: int) -> None:
    """On the screen itself, with all that stands around the table."""
    async with GemmahubApp(hub).run_test(size=(80, height)) as pilot:
        screen = await loaded(pilot)
        before: list[str] = []
        for width in range(80, 240, 8):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            line = next(line for line in drawn(screen).splitlines() if " precision" in line)
            headings = [c.key for c in COLUMNS if f" {c.label[:4]}" in line]
            assert set(before) <= set(headings), width
            before = headings
        assert len(before) == len(COLUMNS)


@pytest.mark.parametrize("width", [20, 80, 120, 160, 240])
async def test_the_last_line_has_the_keys_by_importance(hub: SteadyHub, width: int) -> None:
    async with GemmahubApp(hub).run_test(size=(width, 24)) as pilot:
        screen = await loaded(pilot)
        line = drawn(screen).splitlines()[-1]
        assert "? Keys" in line
        words = [word for _, word in screen.KEYS if f" {word} " in f"{line} "]
        assert words == [word for _, word in screen.KEYS if word in words]
        assert words[0] == ("Run/get" if width > 20 else words[0])
        if width == 80:
            assert {"Run/get", "Filter", "Explain", "Context", "Variants"} <= set(words)
        if width == 240:
            assert {"Downloads", "Serve", "Plugins", "Remove", "Quit"} <= set(words)
        left = [word for _, word in screen.KEYS if word not in words]
        room = width - cell_len(line.rstrip())
        assert all(len(word) + 4 > room for word in left if word not in ("Back", "Keys")), room


async def test_a_click_on_a_key_presses_it(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=(120, 24)) as pilot:
        screen = await loaded(pilot)
        line = drawn(screen).splitlines()[-1]
        await pilot.click(KeyLine, offset=(line.index("Mark"), 0))
        assert table(screen).marked == {under_cursor(screen)}


async def test_while_something_is_typed_the_last_line_has_no_letters(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=(120, 24)) as pilot:
        screen = await loaded(pilot)
        await pilot.press("slash")
        await pilot.pause()
        line = drawn(screen).splitlines()[-1]
        assert "esc Back" in line
        assert "Explain" not in line
        assert "Context" not in line


async def test_panes_have_titles_and_the_focused_one_is_bright(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=(120, 40)) as pilot:
        screen = await loaded(pilot)
        text = drawn(screen)
        assert "╭─ Models ─" in text
        assert f"╭─ {HERE} ─" in text
        in_table = _frames(screen)
        screen.query_one(DetailPane).focus()
        await pilot.pause()
        in_details = _frames(screen)
        accent = screen.app.theme_variables["accent"].lower()
        assert [frame == accent for frame in in_table] == [True, False]
        assert [frame == accent for frame in in_details] == [False, True]


def _frames(screen: LibraryScreen) -> list[str]:
    panes = (screen.query_one("#left"), screen.query_one(DetailPane))
    return [pane.styles.border_left[1].hex.lower() for pane in panes]


def test_the_best_of_an_order_is_its_first(items: list[Item]) -> None:
    """Of each column that has a best value, in its own direction."""
    best: dict[str, Callable[[list[Any]], Any]] = {
        "speed": max, "context": max, "score": max, "lost": min, "size": min, "memory": min,
    }  # fmt: skip
    values: dict[str, Callable[[Item], Any]] = {
        "speed": lambda i: i.row.speed and i.row.speed.likely,
        "context": lambda i: i.row.fit.largest_context if i.row.fit.fits else None,
        "score": lambda i: None if i.row.quality.score is None else i.row.quality.points(""),
        "lost": lambda i: i.row.quality.loss.share,
        "size": lambda i: i.row.variant.size_bytes,
        "memory": lambda i: i.row.memory and i.row.memory.total_bytes,
    }
    for sort, chosen in best.items():
        value = values[sort]
        known = [found for item in items if (found := value(item)) is not None]
        first = ordered(items, SortFilter(sort=sort))[0]
        assert value(first) == chosen(known), sort
