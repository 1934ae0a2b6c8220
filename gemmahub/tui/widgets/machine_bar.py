"""The head line: what this machine is, its memory as gauges, the engines that run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.content import Content
from textual.reactive import reactive

from gemmahub.text import format_gib, one_line, plural
from gemmahub.tui.columns import bar
from gemmahub.tui.widgets.flowing import Flowing

if TYPE_CHECKING:
    from gemmahub.hardware.records import Figure, Machine

_GAUGE = 8


class MachineBar(Flowing):
    """Two lines. ``machine`` is what is shown, ``engines`` the backends and whether they work,
    ``problem`` why nothing could be read."""

    machine: reactive[Machine | None] = reactive(None)
    engines: reactive[tuple[tuple[str, bool], ...] | None] = reactive(None)
    problem: reactive[str] = reactive("")

    def watch_machine(self) -> None:
        """Draw it again."""
        self.show(self._lines)

    def watch_problem(self) -> None:
        """Draw it again."""
        self.show(self._lines)

    def watch_engines(self) -> None:
        """Draw it again."""
        self.show(self._lines)

    def _lines(self, width: int) -> Content:
        if self.machine is None:
            told = (one_line(self.problem), "$text-error")
            looking = ("looking round …", "$foreground-muted")
            return Content.assemble(
                ("gemmahub", "bold $primary"), "  ", told if self.problem else looking
            ).truncate(width, ellipsis=True)
        return Content("\n").join(
            line.truncate(width, ellipsis=True) for line in (self._first(), self._second(width))
        )

    def _first(self) -> Content:
        machine = self.machine
        assert machine is not None
        where = machine_name(machine)
        if machine.simulated:
            label: tuple[str, str] = (" WHAT IF ", "$bar-text on $warning")
            return Content.assemble(label, (f" {where}", "bold $text-warning"), " (not this one)")
        return Content.assemble(("gemmahub", "bold $primary"), f"  {where}", *self._engines())

    def _engines(self) -> list[Content | str | tuple[str, str]]:
        if self.engines is None:
            return []
        works = [name for name, ok in self.engines if ok]
        if not works:
            return ["  · ", ("no engine works: p says why", "$text-error")]
        found: list[Content | str | tuple[str, str]] = ["  ·"]
        found += [(f" {name} ✓", "$text-success") for name in works]
        if others := len(self.engines) - len(works):
            found.append((f"  {plural(others, 'other')}: p", "$foreground-muted"))
        return found

    def _second(self, width: int) -> Content:
        """The gauges, with what closed programs would free where there is room for it."""
        machine = self.machine
        assert machine is not None
        memory = machine.memory
        places = [(d.id, d.available, d.capacity, d.if_closed) for d in machine.devices]
        closed = None if machine.simulated else memory.if_closed
        places.append(("memory", memory.available, memory.usable, closed))
        long = Content("   ").join(_gauge(*place) for place in places)
        if long.cell_length <= width:
            return long
        return Content("   ").join(_gauge(*place[:3]) for place in places)


def machine_name(machine: Machine) -> str:
    """A machine in few words: its GPUs, or its CPU."""
    if machine.name:
        return one_line(machine.name)
    if machine.devices:
        return one_line(" + ".join(device.name for device in machine.devices))
    cores = machine.cpu.physical_cores.value or machine.cpu.logical.value
    count = f", {cores} cores" if cores else ""
    return one_line(f"{machine.cpu.model or 'CPU'}{count}, no GPU")


_WORTH_SAYING: Final = 0.05
"""Share of what is free by which closed programs would have to raise it to be mentioned."""


def _gauge(name: str, free: Figure, total: Figure, closed: int | None = None) -> Content:
    if free.value is None or not total.value:
        return Content.assemble((name, "$foreground-muted"), " unknown")
    taken = 1 - free.value / total.value
    style = "$text-error" if taken > 0.9 else "$text-warning" if taken > 0.75 else "$text-success"
    words = f" {format_gib(free.value)} free"
    if closed is not None and closed > free.value * (1 + _WORTH_SAYING):
        words += f", ~{format_gib(closed)} if programs close,"
    words += f" of {format_gib(total.value)}"
    return Content.assemble((f"{name} ", "$foreground-muted"), (bar(taken, _GAUGE), style), words)
