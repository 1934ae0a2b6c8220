"""``e`` says why a model ranks where it does, and the printed command says and does the same."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.cli.main import cli
from gemmahub.service import Requirements
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.columns import COLUMNS
from gemmahub.tui.screens.explain import ExplainScreen
from gemmahub.tui.screens.serving import ServingScreen
from gemmahub.tui.sort_filter import Item
from gemmahub.tui.widgets.detail import DetailPane
from gemmahub.tui.widgets.flowing import Flowing
from tests.tui.library_support import (
    SteadyHub,
    drawn,
    loaded,
    table,
    under_cursor,
)
from tests.tui.ways import until

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from gemmahub.tui.screens.library import LibraryScreen

LARGE = (160, 60)


async def explained(pilot: Pilot[None]) -> str:
    """All that the explanation says, whatever of it is in sight."""
    await pilot.press("e")
    await pilot.pause()
    screen = pilot.app.screen
    assert isinstance(screen, ExplainScreen)
    return " ".join(str(screen.query_one(Flowing).visual).split())


async def test_e_explains_the_score_as_the_command_does(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        await pilot.press("down")
        item = table(screen).item
        assert item is not None
        text = await explained(pilot)
        best = hub.recommend(Requirements(every_variant=True, limit=1))[0]
        assert best.variant.reference == item.reference in text
        for name, points, words in best.explained[:-1]:
            figure, _, source = words.partition(" (")
            assert f"{name} {points}" in text
            assert " ".join(figure.split()) in text
            assert " ".join(source[:-1].split()) in text
        assert f"score {best.plan.points:.1f}" in text
        assert "rank 1 of " in text
        await pilot.press("y")
        command = shlex.split(pilot.app.clipboard)
        assert command[:2] == ["gemmahub", "recommend"]
        assert "--explain" in command
        _, recommend, arguments = cli.resolve_command(cli.make_context("x", []), command[1:])
        assert recommend is not None
        recommend.make_context("recommend", arguments)  # it takes all of them
        await pilot.press("escape")
        assert pilot.app.screen is screen


async def test_the_command_lists_as_many_variants_as_the_row_needs(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        ranked = [i for i in table(screen).lines if isinstance(i, Item) and i.row.rank]
        far = max(ranked, key=lambda item: item.row.rank or 0)
        table(screen).go_to(far.reference)
        await pilot.press("e", "y")
        command = shlex.split(pilot.app.clipboard)
        limit = int(command[command.index("--limit") + 1]) if "--limit" in command else 5
        found = hub.recommend(Requirements(model=far.row.model, limit=limit))
        assert far.reference in [each.variant.reference for each in found]


async def test_every_column_is_explained(hub: SteadyHub) -> None:
    """In the explanation, and where the mouse is on its heading."""
    async with GemmahubApp(hub).run_test(size=(240, 60)) as pilot:
        screen = await loaded(pilot)
        headings = next(line for line in drawn(screen).splitlines() if " precision " in line)
        models = table(screen)
        for label in ("#", "QSFC", "lost"):
            await pilot.hover(models, offset=(headings.index(label) - models.region.x, 0))
            assert str(models.tooltip).startswith(f"{label}: ")
        await pilot.hover(models, offset=(5, 3))
        assert models.tooltip is None
        text = await explained(pilot)
        for column in COLUMNS:
            assert f"{column.label} {column.help}" in text


def test_the_guide_lists_every_column() -> None:
    text = (Path(__file__).parents[2] / "docs/guides/tui.md").read_text(encoding="utf-8")
    for column in COLUMNS:
        assert f"| `{column.label}` | {column.help} |" in text


async def test_what_has_no_rank_says_why(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        lines = [line for line in table(screen).lines if isinstance(line, Item)]
        unranked = next(item for item in lines if item.row.rank is None)
        table(screen).go_to(unranked.reference)
        text = await explained(pilot)
        assert "It has no rank." in text
        assert unranked.row.quality.basis.split()[0] in text


async def test_e_in_capitals_serves(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        await loaded(pilot)
        await pilot.press("E")
        await until(pilot, lambda: isinstance(pilot.app.screen, ServingScreen), "serving")


@pytest.mark.skipif(shutil.which("sh") is None, reason="a POSIX shell is needed")
async def test_the_printed_command_is_what_a_shell_takes(hub: SteadyHub) -> None:
    """Both halves, with the chosen context and cache type, as ``gemmahub`` would get them."""
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        await pilot.press("down", "left", "left", "t", "y")
        name, pane = under_cursor(screen), screen.query_one(DetailPane)
        script = f"gemmahub() {{ printf '%s\\n' \"$@\" .; }}\n{pilot.app.clipboard}"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        pull, run, rest = done.stdout.split("\n.\n")
        assert not rest
        assert pull.split("\n") == ["pull", name]
        context = str(pane.context)
        assert run.split("\n") == ["run", name, "--ctx-size", context, "--cache-type", "q8_0"]
        for words in (pull.split("\n"), run.split("\n")):
            called, asked, arguments = cli.resolve_command(cli.make_context("x", []), words)
            assert asked is not None
            asked.make_context(called, arguments)


async def test_rows_follow_the_context_that_is_chosen(hub: SteadyHub) -> None:
    """All in sight, once the keys rest; 0 brings back what is recommended."""
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        before = figures(screen)
        await pilot.press("left", "left", "left")
        context = screen.query_one(DetailPane).context
        await until(pilot, lambda: screen.chosen_memory.context == context, "the choice")
        after = figures(screen)
        assert len(after) == len(before) > 10
        fewer = [after[name] <= figure for name, figure in before.items()]
        assert all(fewer)
        assert after != before
        await pilot.press("0")
        await until(pilot, lambda: screen.chosen_memory.context is None, "no choice")
        assert figures(screen) == before


def figures(screen: LibraryScreen) -> dict[str, int]:
    """The memory of each row that has some, in bytes."""
    lines = [line for line in table(screen).lines if isinstance(line, Item)]
    plans = {line.reference: table(screen).memory_of(line) for line in lines if line.row.rank}
    return {name: plan.total_bytes for name, plan in plans.items() if plan is not None}
