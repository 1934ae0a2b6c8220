"""Machines that people describe: several GPUs, several machines, hosts of the settings."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.errors import UsageError
from gemmahub.hardware.cards import CARDS
from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.described import described_machine, host_names, hosts_of
from gemmahub.hardware.records import Kind, Machine
from gemmahub.hardware.simulate import PRESETS, preset_machine

GIB = 1 << 30


def devices(machine: Machine) -> list[tuple[str, str, int]]:
    return [(d.id, d.name, round((d.total.value or 0) / GIB)) for d in machine.devices]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_known_machine_is_what_it_was(preset: object) -> None:
    name = preset.name  # type: ignore[attr-defined]
    assert described_machine(name) == preset_machine(name)


@pytest.mark.parametrize(
    ("text", "found", "ram"),
    [
        ("2x rtx-3090", [("cuda:0", "GeForce RTX 3090", 24), ("cuda:1", "GeForce RTX 3090", 24)],
         64),
        ("2 RTX 3090", [("cuda:0", "GeForce RTX 3090", 24), ("cuda:1", "GeForce RTX 3090", 24)],
         64),
        ("rtx-3090 + RTX-3060, 32GiB ram",
         [("cuda:0", "GeForce RTX 3090", 24), ("cuda:1", "GeForce RTX 3060", 12)], 32),
        ("rtx-3090+rx-7900-xtx",
         [("cuda:0", "GeForce RTX 3090", 24), ("amd:0", "Radeon RX 7900 XTX", 24)], 64),
        ("2x24GiB, 48g of RAM", [("gpu:0", "GPU of 24 GiB", 24), ("gpu:1", "GPU of 24 GiB", 24)],
         48),
        ("4×h100", [(f"cuda:{n}", "H100 80GB HBM3", 80) for n in range(4)], 319),
        ("m2-16gb, 32GiB ram", [("metal:0", "Apple M2", 21)], 32),
        ("cpu-16gb", [], 16),
    ],
)  # fmt: skip
def test_one_machine(text: str, found: list[tuple[str, str, int]], ram: int) -> None:
    machine = described_machine(text)
    assert devices(machine) == found
    assert round((machine.memory.total.value or 0) / GIB) == ram
    assert machine.simulated
    assert machine.name


def test_unstated_memory_is_marked_as_assumed() -> None:
    assert "assumed" in described_machine("4x h100").memory.total.doubt
    assert "assumed" not in described_machine("4x h100, 512GiB ram").memory.total.doubt


def test_nodes_are_workers_before_the_own_devices() -> None:
    machine = described_machine("2x h100, 3 nodes")
    assert [d.id for d in machine.devices] == [
        "rpc:0", "rpc:1", "rpc:2", "rpc:3", "cuda:0", "cuda:1"
    ]  # fmt: skip
    assert [d.name for d in machine.devices[:4]] == ["node-2:50052"] * 2 + ["node-3:50052"] * 2
    assert machine.devices[0].notes == ("H100 80GB HBM3",)
    assert machine.devices[0].bandwidth.value is None
    assert machine.name == "3 machines, each 2 x H100 80GB HBM3, 80 GiB"


def test_unequal_machines_and_one_without_a_gpu() -> None:
    machine = described_machine("2x rtx-3090; rtx-4090; cpu-16gb")
    assert [(d.id, d.notes) for d in machine.devices] == [
        ("rpc:0", ("GeForce RTX 4090",)), ("rpc:1", ("processor",)),
        ("cuda:0", ()), ("cuda:1", ()),
    ]  # fmt: skip
    assert machine.devices[1].total.value == 16 * GIB
    assert machine.devices[1].free.value == 14 * GIB  # its system keeps a part


HOSTS = ("lab-1 = 4x h100", "lab-2:50060=2x rtx-3090, 128GiB ram", "mac = m4-max-128gb")


def test_hosts_of_the_settings() -> None:
    machine = described_machine("hosts", HOSTS)
    assert [d.name for d in machine.devices[:3]] == ["lab-2:50060", "lab-2:50060", "mac:50052"]
    assert [d.id for d in machine.devices[3:]] == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]
    assert devices(described_machine("LAB-2", HOSTS)) == [
        ("cuda:0", "GeForce RTX 3090", 24), ("cuda:1", "GeForce RTX 3090", 24)
    ]  # fmt: skip
    assert host_names(HOSTS) == ("lab-1", "lab-2", "mac")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("2x rtx-3091", "no known machine or GPU rtx-3091", "rtx-3090"),
        ("abacus", "no known machine or GPU abacus", "2x rtx-3090"),
        ("", "is empty", 'or "2x rtx-3090; rtx-4090"'),
        (";", "is empty", 'or "2x rtx-3090; rtx-4090"'),
        ("0x rtx-3090", "0 GPUs in one machine", "1 to 16"),
        ("17x h100", "17 GPUs in one machine", "1 to 16"),
        ("9x h100 + 9x l4", "18 GPUs in one machine", "1 to 16"),
        ("h100, 0 nodes", "0 nodes", "1 to 64"),
        ("h100, 65 nodes", "65 nodes", "1 to 64"),
        ("h100, 40 nodes; l4, 40 nodes", "80 machines", "64"),
        ("h100, fast", "neither memory nor nodes", "64GiB ram"),
        ("h100, -3GiB ram", "negative", "24GiB"),
        ("2x m2-16gb", "whole machine", "m2-16gb, 2 nodes"),
        ("m2-16gb + rtx-3090", "whole machine", "m2-16gb, 2 nodes"),
        ("rtx-3090 +", "a GPU has no name", 'or "2x rtx-3090; rtx-4090"'),
        ("hosts", "have no hosts", "machines.hosts"),
        ("x" * 3000, "too long", 'or "2x rtx-3090; rtx-4090"'),
    ],
)
def test_nonsense_says_what_is_understood(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        described_machine(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("entry", ["4x h100", "a b = h100", "lab = h100, 2 nodes", "lab = ", "= x"])
def test_hosts_that_are_none(entry: str) -> None:
    with pytest.raises(UsageError, match=r"machines\.hosts"):
        hosts_of("hosts", (entry,))


@given(st.text(max_size=60))
def test_any_text_is_a_machine_or_a_clear_error(text: str) -> None:
    with suppress(UsageError):
        assert described_machine(text).simulated


def test_each_card_has_a_published_bandwidth() -> None:
    for card in CARDS.values():
        assert published_bandwidth(card.device, card.memory_bytes) is not None, card.name
        assert described_machine(f"2x {card.name}").devices[0].kind is Kind.DISCRETE
