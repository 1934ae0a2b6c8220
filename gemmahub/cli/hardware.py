"""``gemmahub hardware``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from gemmahub.hardware.records import Device, Figure, Machine


@click.command(name="hardware")
@click.option("--measure", is_flag=True, help="Measure the CPU's memory bandwidth (0.3 s, once).")
@answer_options("hardware")
def hardware_command(measure: bool, form: Form) -> None:
    """Show this machine: accelerators, memory and processor.

    Each figure comes with its source.
    """
    from gemmahub.service import Library

    machine = Library().hardware(measure=measure)
    form.answer(machine.as_json, lambda: _show(machine))


def _show(machine: Machine) -> None:
    cpu, memory = machine.cpu, machine.memory
    cores = (
        f"{_count(cpu.physical_cores)} cores, {_count(cpu.usable)} of {_count(cpu.logical)} CPUs"
    )
    output.facts(
        [
            ("machine", " · ".join(filter(None, (machine.name, machine.system)))),
            ("cpu", f"{cpu.model or 'unknown'} · {cores} usable"),
            ("", " ".join(cpu.instruction_sets)),
            ("bandwidth", _figure(cpu.bandwidth)),
            ("memory", _figure(memory.total)),
            ("available", _figure(memory.available)),
            ("limit", _figure(memory.limit) if memory.limit is not None else ""),
            *(row for device in machine.devices for row in _device(device)),
            *(("disk", f"{_figure(disk.free)}, at {disk.path}") for disk in machine.disks),
        ]
    )
    if not machine.devices:
        output.note("no accelerator was found: models run on the CPU")
    for problem in machine.problems:
        output.warning(f"{problem.probe}: {problem.reason}", problem.hint)


def _device(device: Device) -> list[tuple[str, str]]:
    features = [
        device.vendor,
        str(device.kind),
        f"compute capability {device.compute_capability}" if device.compute_capability else "",
        f"driver {device.driver}" if device.driver else "",
    ]
    rows = [
        (device.id, f"{device.name} · {' · '.join(filter(None, features))}"),
        ("  total", _figure(device.total)),
        ("  free", _figure(device.free)),
        ("  in use", _figure(device.used_by_others)),
        ("  bandwidth", _figure(device.bandwidth)),
    ]
    if device.shared_total is not None:
        rows.append(("  shared", _figure(device.shared_total)))
    if device.unusable:
        rows.append(("  not usable", device.unusable))
    return rows + [("", note) for note in device.notes]


def _count(figure: Figure) -> str:
    return "?" if figure.value is None else str(figure.value)


def _figure(figure: Figure) -> str:
    """Value, source and doubt: ``8.00 GiB (NVML; the driver keeps a part)``."""
    if figure.value is None:
        value = "unknown"
    elif figure.unit == "B/s":
        value = f"{figure.value / 1e9:.1f} GB/s"
    else:
        value = format_gib(figure.value)
    remarks = "; ".join(filter(None, (figure.source, figure.doubt)))
    return f"{value} ({remarks})" if remarks else value
