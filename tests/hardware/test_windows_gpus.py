"""GPUs of AMD and Intel on Windows, from recorded keys of the registry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gemmahub.hardware.probe import probe_machine
from gemmahub.hardware.records import Kind
from gemmahub.planning import machine_of

GIB = 1 << 30


def adapter(name: str, ids: str, gib: float | None) -> dict[str, Any]:
    vendor, device = ids.split(":")
    return {
        "DriverDesc": name,
        "MatchingDeviceId": f"PCI\\VEN_{vendor}&DEV_{device}&REV_C8",
        "DriverVersion": "32.0.21025.1024",
        "HardwareInformation.qwMemorySize": None if gib is None else int(gib * GIB),
    }


def windows(machines: Any, *adapters: dict[str, Any]) -> Any:
    counts = machines.Psutil((32 * GIB, 20 * GIB), (0, 0), cores=8, cpus=16, affinity=range(16))
    return machines.windows(counts, *adapters)


@pytest.mark.parametrize(
    ("name", "ids", "gib", "id_", "kind", "gbs"),
    [
        ("AMD Radeon RX 7900 XTX", "1002:744C", 24, "amd:0", Kind.DISCRETE, 960),
        ("Intel(R) Arc(TM) B580 Graphics", "8086:E20B", 12, "intel:0", Kind.DISCRETE, 456),
        ("Intel(R) Arc(TM) Pro B70 Graphics", "8086:E223", 32, "intel:0", Kind.DISCRETE, 608),
        ("Intel(R) UHD Graphics 770", "8086:4680", 1, "intel:0", Kind.INTEGRATED, None),
        ("Intel(R) Arc(TM) B390 GPU", "8086:B080", 1, "intel:0", Kind.INTEGRATED, None),
        ("Intel(R) Arc(TM) Graphics", "8086:7D55", None, "intel:0", Kind.INTEGRATED, None),
        ("AMD Radeon(TM) 8060S Graphics", "1002:1586", 96, "amd:0", Kind.INTEGRATED, 256),
        ("AMD Radeon(TM) 780M Graphics", "1002:15BF", 4, "amd:0", Kind.INTEGRATED, None),
        ("AMD Radeon(TM) Graphics", "1002:164E", 0.5, "amd:0", Kind.INTEGRATED, None),
    ],
)
def test_gpus_by_their_drivers_names(
    machines: Any, name: str, ids: str, gib: float | None, id_: str, kind: Kind, gbs: int | None
) -> None:
    (gpu,) = probe_machine(windows(machines, adapter(name, ids, gib))).devices
    assert (gpu.id, gpu.kind, gpu.driver) == (id_, kind, "32.0.21025.1024")
    assert gpu.bandwidth.value == (None if gbs is None else gbs * 10**9)
    if kind is Kind.DISCRETE:
        assert gpu.total.value == int((gib or 0) * GIB)
        assert "gemmahub does not ask Windows for it: assumed" in gpu.free.doubt


def test_an_apu_has_its_own_memory_and_what_windows_lends(machines: Any) -> None:
    apu = adapter("AMD Radeon(TM) 8060S Graphics", "1002:1586", 8)
    machine = probe_machine(windows(machines, apu))
    assert machine.devices[0].capacity.value == (8 + 16) * GIB
    (place,) = machine_of(machine).devices
    assert place.taken_from_host(place.carved_bytes) == 0
    uhd = adapter("Intel(R) UHD Graphics", "8086:46A3", 0.125)
    assert probe_machine(windows(machines, uhd)).devices[0].available.value == 16 * GIB


def test_what_is_not_a_gpu_of_theirs_is_left_out(machines: Any) -> None:
    others: tuple[dict[str, Any], ...] = (
        adapter("NVIDIA GeForce RTX 3090", "10DE:2204", 24),
        {"DriverDesc": "Microsoft Basic Display Adapter", "MatchingDeviceId": None},
        {},
    )
    machine = probe_machine(windows(machines, *others))
    assert (machine.devices, machine.problems) == ((), ())


def test_a_registry_that_cannot_be_read_is_a_line(machines: Any) -> None:
    def refuse() -> Any:
        raise PermissionError("the registry is closed")

    machine = probe_machine(replace(windows(machines), display_adapters=refuse))
    assert [problem.probe for problem in machine.problems] == ["windows"]
