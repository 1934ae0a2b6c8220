"""One screen on what this machine can do and what is missing; it fits 80 columns and 24 lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.cli import output
from gemmahub.text import format_bytes, format_gib, one_line, plural

if TYPE_CHECKING:
    from gemmahub.hardware.records import Machine
    from gemmahub.service.first_setup import SetupFacts
    from gemmahub.service.right_build import RightBuild

_MOST_GPUS = 3
_NAME = 8


def show_facts(facts: SetupFacts) -> None:
    """Machine, engine and models; what fits; what is to be done."""
    _title("This machine")
    for name, text in _machine(facts.machine):
        _row(name, text)
    _title("Installed")
    _row("engine", _engines(facts))
    _row("models", _stores(facts))
    if facts.offline:
        _row("network", f"none: {facts.offline}")
    _title("What this machine runs best")
    _choices(facts)
    _title("To do")
    for number, step in enumerate((*facts.needed, facts.steps[-1]), 1):
        _row(f"{number} {step.name}", step.text)
        if step.detail:
            _below(step.detail)
        if step.problem:
            _below(f"not now: {step.problem}")
    if facts.unused is not None:
        _unused(facts.unused)


def _unused(found: RightBuild) -> None:
    """GPUs that the engine here does not use, what they would run, and how to change that."""
    from gemmahub.service.first_setup import plan_text

    devices = " and ".join(dict.fromkeys(found.devices))
    _row("- GPU", f"{found.engine} does not use {devices}, which would run")
    best = found.recommendation
    _below(f"{best.variant.reference}: {plan_text(best)}")
    output.paragraph(found.hint, indent=4)


def _choices(facts: SetupFacts) -> None:
    from gemmahub.service.first_setup import plan_text

    if facts.nothing_fits:
        _row("nothing", facts.nothing_fits)
    for number, found in enumerate(facts.choices, 1):
        size = found.variant.size_bytes
        there = f", {format_bytes(size)} to download" if size else ""
        there = ", here" if found.variant.artifacts else there
        _row(str(number), f"{found.variant.reference}{there}")
        _below(plan_text(found))
    own = facts.installed
    if own is not None and all(own.variant.reference != c.variant.reference for c in facts.choices):
        _row("here", own.variant.reference)
        _below(plan_text(own))


def _machine(machine: Machine) -> list[tuple[str, str]]:
    rows = []
    for device in machine.devices[:_MOST_GPUS]:
        free, total = device.available.value, device.capacity.value
        room = f", {format_gib(free)} of {format_gib(total)} free" if free and total else ""
        rows.append(("GPU", f"{device.name}{room}"))
    if len(machine.devices) > _MOST_GPUS:
        rows.append(("", f"and {len(machine.devices) - _MOST_GPUS} more: gemmahub hardware"))
    if not machine.devices:
        rows.append(("GPU", "none found: the processor runs models"))
    memory = machine.memory
    if memory.available.value is not None and memory.usable.value is not None:
        of = f"{format_gib(memory.available.value)} of {format_gib(memory.usable.value)}"
        rows.append(("memory", f"{of} free"))
    for disk in machine.disks[:1]:
        if disk.free.value is not None:
            rows.append(("disk", f"{format_bytes(disk.free.value)} free for models"))
    return rows


def _stores(facts: SetupFacts) -> str:
    count = len(facts.models.variants)
    if not count:
        return "none"
    stores = ", ".join(
        f"{one_line(name, 30)} {format_bytes(size)}" for name, (_, size) in facts.stores.items()
    )
    return f"{plural(count, 'model')}: {stores}" if stores else plural(count, "model")


def _engines(facts: SetupFacts) -> str:
    """The one that runs GGUF files, else the first, and how many more."""
    first = next((row for row in facts.engines if "gguf" in row.formats), None)
    first = first or next(iter(facts.engines), None)
    if first is None:
        return "none"
    others = len(facts.engines) - 1
    more = f", and {others} more: gemmahub plugins" if others else ""
    return f"{first.name} {first.version.partition(', ')[0]}{more}"


def _title(text: str) -> None:
    output.data(output.painted(text, "1"))


def _below(text: str) -> None:
    output.data(f"    {one_line(text, output.width() - 5)}")


def _row(name: str, text: str) -> None:
    """A line that the width of the terminal cuts, never breaks."""
    room = max(20, output.width() - _NAME - 4)
    output.data(f"  {name:<{_NAME}} {one_line(text, room)}")
