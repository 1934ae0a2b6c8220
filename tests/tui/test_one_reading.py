"""Rows, header and details are of one reading of the memory that is free."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.widgets.detail import DetailPane
from gemmahub.tui.widgets.machine_bar import MachineBar
from tests.tui.library_support import (
    HERE,
    SteadyHub,
    drawn,
    loaded,
    under_cursor,
)

if TYPE_CHECKING:
    from gemmahub.hardware.records import Figure, Machine
    from gemmahub.tui.screens.library import LibraryScreen


LARGE = (160, 48)


async def test_memory_that_is_taken_is_missing_in_every_row_at_once(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        before = contexts(screen)
        hub.machine = with_free_memory(hub.machine, 0.25)
        screen.look_at_machine()
        await until(pilot, lambda: contexts(screen) != before)
        after = contexts(screen)
        assert screen.overview is not None
        assert screen.overview.machine == screen.machine == screen.query_one(MachineBar).machine
        assert screen.machine is not None
        assert screen.machine.memory == hub.machine.memory
        assert any(after[name] < tokens for name, tokens in before.items() if tokens)
        assert all(after[name] <= tokens for name, tokens in before.items())
        assert under_cursor(screen) == HERE


async def test_less_than_three_percent_moves_nothing(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        screen.query_one(DetailPane).plan_curve()
        await pilot.pause()
        before, picture = screen.overview, drawn(screen)
        hub.machine = with_free_memory(hub.machine, 0.98)
        await looked(pilot, screen)
        assert screen.overview is before
        assert drawn(screen) == picture


async def test_nothing_is_planned_again_while_somebody_types(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        before = screen.overview
        hub.machine = with_free_memory(hub.machine, 0.25)
        await pilot.press("down")
        await looked(pilot, screen)
        assert screen.overview is before


async def test_the_header_says_what_closed_programs_would_free(hub: SteadyHub) -> None:
    hub.machine = with_free_memory(hub.machine, 0.25)
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        line = next(line for line in drawn(screen).splitlines() if "memory" in line)
        memory = hub.machine.memory
        assert memory.if_closed is not None
        assert f"~{memory.if_closed / 2**30:.2f} GiB if programs close" in line


def contexts(screen: LibraryScreen) -> dict[str, int]:
    """The largest context of each row, in tokens; 0 where there is none."""
    assert screen.overview is not None
    return {row.variant.reference: row.fit.largest_context or 0 for row in screen.overview.rows}


def with_free_memory(machine: Machine, share: float) -> Machine:
    """The machine with that share of what was free."""

    def part(figure: Figure) -> Figure:
        return replace(figure, value=int((figure.value or 0) * share))

    devices = tuple(replace(device, free=part(device.free)) for device in machine.devices)
    memory = replace(machine.memory, available=part(machine.memory.available))
    return replace(machine, devices=devices, memory=memory)


async def looked(pilot: Any, screen: LibraryScreen) -> None:
    """The memory is looked at now."""
    screen.look_at_machine()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def until(pilot: Any, done: Any) -> None:
    """Wait for something that a worker brings about."""
    async with asyncio.timeout(30):
        while not done():
            await pilot.pause(0.01)
    await pilot.pause()
