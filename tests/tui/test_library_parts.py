"""The parts of the library that need no screen: arranging, columns, bars, slider, memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.replaced import Outdated
from gemmahub.errors import UsageError
from gemmahub.formats.kinds import EMBEDDING, WHAT
from gemmahub.planning.fit import Fit
from gemmahub.recommend.speed import SeenSpeed, Speed
from gemmahub.service.overview import LibraryReading
from gemmahub.testing.gguf_writer import write_gguf
from gemmahub.testing.hub.models import projector
from gemmahub.text.bars import shares
from gemmahub.tui import details
from gemmahub.tui.bars import Part, legend, stacked
from gemmahub.tui.column_layout import layout
from gemmahub.tui.columns import COLUMNS, bar, fitted
from gemmahub.tui.screens.what_if import machine_in, sizes_in
from gemmahub.tui.slider import Slider
from gemmahub.tui.sort_filter import (
    SORTS,
    Heading,
    Item,
    SortFilter,
    filtered,
    fit_word,
    folded,
    item_of,
    ordered,
    title_of,
    with_rules,
)
from gemmahub.tui.themes import BAR_DEFAULTS, THEMES
from tests.tui.library_support import HERE, install, steady_hub

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Item]:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    install(tmp_path, HERE)
    return [item_of(row) for row in LibraryReading(steady_hub(tmp_path)).overview().rows]


def test_the_details_say_what_belongs_to_a_model_and_what_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    path = install(tmp_path, "gemma-3-4b-it:q4_0-qat")
    head = {"general.architecture": "gemma4-assistant", "gemma4-assistant.block_count": 1}
    write_gguf(path.parent / "mtp-small.gguf", head, [("blk.0.attn_q.weight", (32, 32), "F32")])
    (path.parent / "mmproj-small.gguf").write_bytes(projector())
    rows = LibraryReading(steady_hub(tmp_path)).overview().rows
    row = next(row for row in rows if row.variant.artifacts)
    assert [(each.name, each.kind) for each in row.companions] == [
        ("mmproj-small.gguf", "projector"), ("mtp-small.gguf", "drafter"),
    ]  # fmt: skip
    assert all(each.size_bytes for each in row.companions)
    shown = details.words(row, ()).plain
    assert "projector mmproj-small.gguf · " in shown
    assert "drafter mtp-small.gguf · " in shown
    outdated = Outdated("2026-07-15", "broken tensors", "llama.cpp aborts", "gemma:q4", True)
    member = load_catalog().members[0]
    variant = replace(row.variant, outdated=outdated, member=member, kind=EMBEDDING,
                      what=WHAT[EMBEDDING])  # fmt: skip
    shown = details.words(replace(row, variant=variant), ()).plain
    assert shown.startswith(f"! {outdated.advice}")
    assert "an embedding model: it does not generate text" in shown
    assert f"family {member.text}" in shown
    assert f"runs in {member.runs}" in shown


def test_every_column_sorts_and_what_is_unknown_comes_last(items: list[Item]) -> None:
    for sort in SORTS:
        there = ordered(items, SortFilter(sort=sort))
        back = ordered(items, SortFilter(sort=sort, reverse=True))
        assert sorted(i.reference for i in there) == sorted(i.reference for i in items)
        assert there != back or sort == "where"

    def rate(item: Item) -> float | None:
        return item.row.speed.likely if item.row.speed else None

    by_speed = [rate(item) for item in ordered(items, SortFilter(sort="speed"))]
    known = [speed for speed in by_speed if speed is not None]
    assert known == sorted(known, reverse=True)
    assert by_speed[: len(known)] == known
    assert None in by_speed
    slowest = ordered(items, SortFilter(sort="speed", reverse=True))
    assert rate(slowest[0]) == min(known)
    assert rate(slowest[-1]) is None


def test_what_is_installed_comes_first_and_then_the_best(items: list[Item]) -> None:
    found = ordered(items, SortFilter())
    assert found[0].reference == HERE
    for slow in (False, True):  # the slow ones stand behind all that are not
        ranks = [item.row.rank for item in found[1:] if item.row.is_slow is slow]
        known = [rank for rank in ranks if rank is not None]
        assert known == sorted(known)
    assert ranks[: len(known)] == known


def test_what_is_shown(items: list[Item], tmp_path: Path) -> None:
    fits = ordered(items, SortFilter(show="fits"))
    assert {fit_word(item.row) for item in fits} <= {"fits", "tight", "partly"}
    assert {fit_word(item.row) for item in items} >= {"fits", "partly", "unknown"}
    hub = steady_hub(tmp_path)
    small = LibraryReading(hub).overview(machine=hub.machine_for(ram="9GiB")).rows
    assert {fit_word(row) for row in small} >= {"fits", "too big", "unknown"}
    assert [i.reference for i in ordered(items, SortFilter(show="installed"))] == [HERE]


def test_a_filter_wants_every_word_in_any_case(items: list[Item]) -> None:
    found = filtered(items, "  QAT  12B ")
    assert found
    assert all("qat" in i.text and "12b" in i.text for i in found)
    assert len(found) < len(items)
    assert filtered(items, "") == items
    assert filtered(items, "no such thing") == []


def test_a_filter_takes_comparisons(items: list[Item]) -> None:
    found = filtered(items, "bits<5 params>=4b qat")
    assert found
    for item in found:
        variant = item.row.variant
        assert (variant.precision.bits_per_weight or 99) < 5
        assert variant.parameters >= 4e9
    assert len(found) < len(filtered(items, "qat"))
    assert filtered(items, "bits<") == items  # it is still being written
    assert filtered(items, "bits<x") == []  # a text like any other


def test_a_model_is_one_row_and_opens(items: list[Item]) -> None:
    """The first of its variants stands for it; nothing is lost, and the order stays."""
    flat = ordered(items, SortFilter())
    rows = folded(flat, ())
    models = list(dict.fromkeys(item.row.model for item in flat))
    assert [item.row.model for item in rows] == models
    assert sum(item.more + 1 for item in rows) == len(flat)
    many = next(item for item in rows if item.more)
    lines = folded(flat, {many.row.model})
    at = lines.index(next(item for item in lines if item.open))
    assert lines[at].reference == many.reference
    below = lines[at + 1 : at + 1 + many.more]
    assert all(item.below and item.row.model == many.row.model for item in below)
    assert [item.more for item in lines if item.row.model != many.row.model] == [
        item.more for item in rows if item.row.model != many.row.model
    ]


def test_the_name_of_a_folded_row_says_how_many_it_stands_for(items: list[Item]) -> None:
    column = next(column for column in COLUMNS if column.key == "model")
    item = replace(items[0], title="gemma-4-26b-a4b-it:q4_0-qat", more=5)
    assert item.named(column.cut, 34) == "gemma-4-26b-a4b-it:q4_0-qat   +5 ▸"
    assert item.named(column.cut, 26) == "gemma-4-26b-a4b-it    +5 ▸"
    assert item.named(column.cut, 20) == "gemma-4-26b-a4b-it ▸"
    assert replace(item, more=0, open=True).named(column.cut, 30).endswith(" ▾")
    assert replace(item, more=0, below=True).named(column.cut, 20) == "  q4_0-qat          "


@pytest.mark.parametrize(
    ("reference", "title"),
    [
        ("gemma-3-4b-it:q8_0", "gemma-3-4b-it:q8_0"),
        ("/models/deep/x.gguf", "x.gguf"),
        ("hf://user/repo/x.gguf", "user/repo/x.gguf"),
        ("ollama://gemma3:4b", "gemma3:4b"),
        ("/models/\x1b[31mred.gguf", "red.gguf"),
    ],
)
def test_titles(items: list[Item], reference: str, title: str) -> None:
    from dataclasses import replace

    row = items[0].row
    assert title_of(replace(row, variant=replace(row.variant, reference=reference))) == title


@given(st.integers(1, 300))
def test_columns_never_are_wider_than_the_table(width: int) -> None:
    found = layout(width)
    used = sum(cells for _, cells in found.columns) + found.gap * (len(found.columns) - 1)
    assert used <= width
    assert "model" in [column.key for column, _ in found.columns]


def test_which_columns_there_are() -> None:
    at_80 = [column.key for column, _ in layout(75).columns]
    wanted = {"model", "precision", "score", "speed", "context", "memory", "why", "fit"}
    assert set(at_80) == wanted
    assert [column.key for column, _ in layout(200).columns] == [c.key for c in COLUMNS]


@given(st.text(max_size=60), st.integers(1, 50), st.booleans())
def test_a_cell_has_exactly_its_width(text: str, width: int, right: bool) -> None:
    text = "".join(char for char in text if char.isprintable())
    assert cell_len(fitted(text, width, right=right)) == width


def test_long_names_keep_both_ends() -> None:
    model = next(column for column in COLUMNS if column.key == "model")
    assert fitted("gemma-4-26b-a4b-it-ud-q4_k_xl", 16) == "gemma-4-2…4_k_xl"
    assert model.cut("gemma-4-26b-a4b-it:ud-q4_k_xl-qat", 20) == "gemma-4-26b-a4b-it:…"
    assert model.cut("short", 8) == "short   "


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "····"),
        (0.0, "────"),
        (0.001, "╸───"),
        (0.5, "━━──"),
        (0.6, "━━╸─"),
        (1.0, "━━━━"),
        (9.0, "━━━━"),
    ],
)
def test_gauge(share: float | None, text: str) -> None:
    assert bar(share, 4) == text


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=8), st.integers(1, 200))
def test_shares_fill_the_width(amounts: list[float], width: int) -> None:
    cells = shares([*amounts, 1.0], width)
    assert sum(cells) == width
    assert min(cells) >= 0


def test_a_stacked_bar_can_be_read_without_colour() -> None:
    parts = [Part("W", "weights 3 GiB", 3, "part-weights"), Part("K", "cache", 1, "part-kv")]
    assert stacked(parts, 16, 8).plain == " W    K ┄┄┄┄┄┄┄┄"
    assert stacked(parts, 8).plain == " W    K "
    assert stacked([], 8).plain == ""
    assert legend(parts, 80).plain == " W  weights 3 GiB   K  cache"
    assert legend(parts, 20).plain == " W  weights 3 GiB\n K  cache"


def test_every_theme_knows_every_bar() -> None:
    for theme in THEMES:
        assert set(theme.variables) >= set(BAR_DEFAULTS)


STEPS = (1024, 2048, 4096, 8192, 16384)


@pytest.mark.parametrize(
    ("value", "step", "expected"),
    [(4096, 1, 8192), (4096, -1, 2048), (5000, 1, 8192), (5000, -1, 4096), (1024, -1, 1024),
     (16384, 1, 16384)],
)  # fmt: skip
def test_slider_steps(value: int, step: int, expected: int) -> None:
    assert Slider(STEPS, value, 8192).next(step) == expected


@given(st.sampled_from(STEPS), st.sampled_from((0, *STEPS)), st.integers(40, 150))
def test_the_slider_fills_its_line(value: int, largest: int, width: int) -> None:
    slider = Slider(STEPS, value, largest)
    line = slider.line(width).plain
    assert len(line) == width
    assert line.endswith(f"{value:,}")
    assert line.count("●") == 1
    assert slider.at(line.index("●"), width) == value
    assert slider.at(0, width) == STEPS[0]
    assert slider.at(width, width) == STEPS[-1]
    assert ("━" in line) == (largest > STEPS[0] or (largest == STEPS[0] and value > largest))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("24GiB", {"memory": "24GiB"}),
        ("24g + 64g", {"memory": "24g", "ram": "64g"}),
        ("+16GiB", {"ram": "16GiB"}),
    ],
)
def test_sizes_of_another_machine(text: str, options: dict[str, str]) -> None:
    assert sizes_in(text) == options


@pytest.mark.parametrize("text", ["", " + ", "much", "24", "-3GiB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError):
        sizes_in(text)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("24GiB + 64GiB", {"memory": "24GiB", "ram": "64GiB"}),
        (" 2x rtx-3090 ", {"machine": "2x rtx-3090"}),
        ("h100", {"machine": "h100"}),
        ("4x h100, 2 nodes", {"machine": "4x h100, 2 nodes"}),
        ("hosts", {"machine": "hosts"}),
    ],
)
def test_what_a_person_may_write_for_another_machine(text: str, options: dict[str, str]) -> None:
    assert machine_in(text, ("lab = 2x l4",)) == options


@pytest.mark.parametrize(
    ("text", "words"),
    [("24", "no unit"), ("-3GiB", "negative"), ("2x rtx-3091", "no known machine"), ("", "size")],
)
def test_what_is_no_machine(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        machine_in(text)


def test_fit_words(items: list[Item]) -> None:
    from dataclasses import replace

    row = items[0].row
    assert fit_word(replace(row, fit=Fit(True, 1, tight=True))) == "tight"
    assert fit_word(replace(row, fit=Fit(False), recommendation=None)) == "too big"
    assert fit_word(replace(row, fit=Fit(False))) == "partly"
    assert fit_word(replace(row, fit=Fit.unknown("?"))) == "unknown"


def test_slow_models_stand_below_a_rule_and_behind_all_others(items: list[Item]) -> None:
    """Whatever their rank, and also where they are installed."""
    first = next(item for item in items if item.row.recommendation)
    assert first.row.recommendation is not None
    plan = replace(first.row.recommendation.plan, usable=False)
    row = replace(first.row, recommendation=replace(first.row.recommendation, plan=plan))
    others = [item for item in items if item is not first]
    found = ordered([item_of(row), *others], SortFilter())
    lines = with_rules(found, SortFilter(), 5)
    texts = [line.text for line in lines if isinstance(line, Heading)]
    assert texts == [
        "slow here: fewer than 5 tokens/s",
        "not ranked: too large for what is free, or not known well enough",
    ]  # fmt: skip
    place = next(n for n, line in enumerate(lines) if isinstance(line, Heading))
    assert lines[place + 1].reference == first.reference
    assert all(isinstance(line, Item) and not line.row.is_slow for line in lines[:place])
    assert with_rules(found, SortFilter(sort="speed"), 5) == found


def test_speeds_say_whether_they_were_measured(items: list[Item]) -> None:
    column = next(column for column in COLUMNS if column.key == "speed")
    item = next(item for item in items if item.row.speed is not None)
    assert item.row.recommendation is not None
    plan = replace(item.row.recommendation.plan, speed=Speed(2.04, 3.5, 5.96, "an estimate"))
    guess = item_of(replace(item.row, recommendation=replace(item.row.recommendation, plan=plan)))
    assert column.shown(guess, 9) == " ~2.0–6.0"
    assert column.shown(guess, 5) == " ~3.5"
    seen = SeenSpeed(((0, 9.4),))
    plan = replace(
        plan, speed=Speed(9.4, 9.4, 9.4, "here"), candidate=replace(plan.candidate, measured=seen)
    )
    known = item_of(replace(item.row, recommendation=replace(item.row.recommendation, plan=plan)))
    assert column.shown(known, 7) == "  9.4 ✓"
