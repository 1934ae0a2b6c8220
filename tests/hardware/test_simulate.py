"""Sizes that people write, and machines that are not here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.errors import UsageError
from gemmahub.hardware.probe import probe_machine
from gemmahub.hardware.records import Kind
from gemmahub.hardware.simulate import PRESETS, parse_size, preset_machine, simulate_machine
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GiB", 24 * GIB),
        ("24gib", 24 * GIB),
        ("24g", 24 * GIB),
        ("24G", 24 * GIB),
        (" 24 Gi ", 24 * GIB),
        ("24GB", 24 * 10**9),
        ("24gb", 24 * 10**9),
        ("24576M", 24 * GIB),
        ("512MiB", GIB // 2),
        ("1.5g", GIB * 3 // 2),
        ("0.5TB", 5 * 10**11),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0", "no unit"),
        ("0g", "zero"),
        ("0.0GiB", "zero"),
        ("-3GiB", "negative"),
        ("24", "no unit"),
        ("24B", "unknown unit"),
        ("24x", "unknown unit"),
        ("24gigs", "unknown unit"),
        ("g", "not a size"),
        ("", "empty"),
        ("1,5g", "not a size"),
        ("nan", "not a size"),
        ("1e9g", "not a size"),
        ("٢٤g", "not a size"),
        ("1k", "too small"),
        ("65TiB", "too large"),
        ("9" * 30 + "g", "too large"),
        ("24g\x1b[31m", "not a size"),
    ],
)
def test_what_is_not_a_size(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        parse_size(text)
    assert "24GiB" in caught.value.hint
    assert "\x1b" not in caught.value.message


@given(st.text(max_size=40))
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    try:
        size = parse_size(text)
    except UsageError as error:
        message, size = error.message, 1
    else:
        message = ""
    assert size > 0
    assert message == one_line(message)


def test_memory_and_ram_alone() -> None:
    machine = simulate_machine(24 * GIB, 64 * GIB)
    (gpu,) = machine.devices
    assert machine.simulated
    assert (gpu.total.value, gpu.free.value) == (24 * GIB, 24 * GIB)
    assert gpu.free.source == "simulated"
    assert "nothing else" in gpu.free.doubt
    assert gpu.bandwidth.value is None
    assert machine.memory.available.value == 64 * GIB
    assert machine.cpu.logical.value is None


def test_what_is_not_given_comes_from_the_machine_that_is_here(
    machines: Any, pc: Callable[..., dict[str, str]]
) -> None:
    here = probe_machine(machines.linux(pc(32, 24)))
    machine = simulate_machine(memory=8 * GIB, base=here)
    assert machine.memory is here.memory
    assert machine.cpu is here.cpu
    assert len(machine.devices) == 1
    assert simulate_machine(ram=8 * GIB, base=here).devices == here.devices


def test_unified_machine_with_another_size() -> None:
    machine = simulate_machine(ram=96 * GIB, base=preset_machine("m3-max-64gb"))
    assert machine.devices[0].total.value == 72 * GIB


def test_a_discrete_gpu_is_not_combined_with_the_fast_memory_of_a_mac() -> None:
    mac = preset_machine("m4-max-128gb")
    machine = simulate_machine(memory=24 * GIB, base=mac)
    assert mac.cpu.bandwidth.value == 546 * 10**9
    assert machine.cpu.bandwidth.value == 50 * 10**9


def test_presets_are_complete() -> None:
    assert len({preset.name for preset in PRESETS}) == len(PRESETS)
    for preset in PRESETS:
        machine = preset_machine(preset.name)
        assert machine.memory.total.value == preset.ram * GIB
        assert all(device.bandwidth.value for device in machine.devices), preset.name
        assert machine.cpu.bandwidth.value, preset.name
        assert "several" not in str(machine.as_json())


def test_presets() -> None:
    laptop = preset_machine("RTX-4060-laptop").devices[0]
    assert (laptop.total.value, laptop.bandwidth.value) == (8 * GIB, 256 * 10**9)
    mac = preset_machine("m2-16gb")
    assert mac.devices[0].kind is Kind.UNIFIED
    assert mac.devices[0].total.value == 16 * GIB * 2 // 3
    assert mac.cpu.bandwidth.value == 100 * 10**9
    assert preset_machine("raspberry-pi-5-8gb").cpu.bandwidth.value == 17_100_000_000


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        preset_machine("rtx-3091")
    assert "rtx-3090" in caught.value.hint


@pytest.mark.parametrize(("name", "free"), [("cpu-16gb", 14), ("raspberry-pi-5-8gb", 7)])
def test_a_known_machine_keeps_memory_for_its_system(name: str, free: int) -> None:
    memory = preset_machine(name).memory
    assert memory.available.value == free << 30
    assert "the system uses" in memory.available.doubt
