"""A probe of an accelerator that gemmahub has never heard of, from a stranger's plugin."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub import hookimpl
from gemmahub.engines.guarded_probe import probes_of
from gemmahub.engines.manager import PluginManager, load_plugins
from gemmahub.hardware import host
from gemmahub.hardware.probe import probe_machine
from gemmahub.hardware.records import Device, Figure, Kind
from gemmahub.in_time import in_time
from gemmahub.planning import machine_of
from gemmahub.service import Library
from tests.stranger import gemmahub_npu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gemmahub.hardware.device_probe import Seen

Command = Any
GIB = 1 << 30


def plugin(*probes: object) -> Any:
    """A plugin with these probes."""

    @hookimpl
    def gemmahub_devices() -> tuple[object, ...]:
        return probes

    return SimpleNamespace(gemmahub_devices=gemmahub_devices)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., PluginManager]:
    """Makes plugins be there beside echo, on a machine with one NPU."""
    monkeypatch.setenv("NPU_FOLDER", str(tmp_path))
    (tmp_path / "memory_total").write_text(f"{64 * GIB}\n")
    (tmp_path / "memory_used").write_text(f"{4 * GIB}\n")

    def install(**plugins: Any) -> PluginManager:
        manager = load_plugins(only=["echo"])
        for name, module in plugins.items():
            load = partial(getattr, SimpleNamespace(it=module), "it")
            manager.add(name, load, f"gemmahub-{name}", "1")
        monkeypatch.setattr(Library, "plugins_manager", manager)
        return manager

    return install


def probe_of(answer: Any, name: Any = "odd") -> Any:
    """A probe that answers so, or by raising."""

    class Probe:
        def devices(self, seen: Seen) -> Any:
            if isinstance(answer, BaseException):
                raise answer
            return answer(seen) if callable(answer) else answer

    probe: Any = Probe()
    probe.name = name
    return probe


# --- what a simple probe is enough for -----------------------------------------------------------


def test_its_device_is_shown_with_its_figures(
    command: Command, installed: Callable[..., PluginManager], tmp_path: Path
) -> None:
    installed(npu=gemmahub_npu)
    found = json.loads(command("hardware", "--json").out)["devices"]
    device = next(device for device in found if device["id"] == "npu:0")
    assert (device["name"], device["kind"]) == ("Example NPU", "discrete")
    assert device["free"]["value"] == 60 * GIB
    assert device["bandwidth"] == {
        "value": None, "source": "", "doubt": "the probe does not report it", "unit": "B/s",
    }  # fmt: skip
    shown = command("hardware").out
    assert "npu:0" in shown
    assert "60.00 GiB (npu memory_total - memory_used)" in shown
    (tmp_path / "memory_total").unlink()
    assert "npu:0" not in command("hardware").out


def test_its_memory_counts_in_plans_and_recommendations(
    command: Command, installed: Callable[..., PluginManager]
) -> None:
    installed(npu=gemmahub_npu)
    plan = json.loads(command("plan", "gemma-3-27b-it:q4_0-qat", "--json").out)
    place = next(p for p in plan["memory"]["devices"] if p["device"] == "npu:0")
    assert place["free_bytes"] == 60 * GIB
    assert place["total_bytes"] > 10 * GIB
    assert plan["fits"] is True
    found = json.loads(command("recommend", "--json").out)
    devices = [device["id"] for device in found["machine"]["devices"]]
    assert "npu:0" in devices
    place_of_plans = machine_of(Library().hardware()).devices[-1]
    assert (place_of_plans.name, place_of_plans.kind) == ("npu:0", "other")


def test_what_it_finds_odd_is_a_line_of_doctor(
    command: Command, installed: Callable[..., PluginManager], tmp_path: Path
) -> None:
    installed(npu=gemmahub_npu)
    (tmp_path / "too_hot").touch()
    checks = {c["name"]: c for c in json.loads(command("doctor", "--json").out)["checks"]}
    assert checks["GPU npu:0"]["message"] == "Example NPU, 60.00 GiB of 64.00 GiB free"
    line = checks["probe npu"]
    assert (line["status"], line["message"], line["hint"]) == (
        "warning", "npu:0 is too hot", "open a window",
    )  # fmt: skip
    assert "npu: npu:0 is too hot" in command("hardware").err


# --- what is wrong with a plugin is a line -------------------------------------------------------


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        ("npu", "its name is None, not a text"),
        (probe_of([], "NPU 1"), "its name is 'NPU 1'"),
        (probe_of([], None), "its name is None, not a text"),
        (probe_of([], "nvidia"), "gemmahub has its own probe nvidia"),
        (SimpleNamespace(name="odd", devices=[]), "the probe odd has no devices()"),
    ],
)
def test_what_is_not_a_probe_is_a_row_with_its_reason(
    command: Command, installed: Callable[..., PluginManager], probe: object, reason: str
) -> None:
    installed(odd=plugin(probe), npu=gemmahub_npu)
    checks = {c["name"]: c for c in json.loads(command("doctor", "--json").out)["checks"]}
    assert checks["plugin odd"]["message"].count(reason) == 1
    assert "GPU npu:0" in checks


NPU = Device(
    "odd:0", "Odd", "Odd", Kind.DISCRETE, Figure(8, "odd"), Figure(4, "odd"), Figure(4, "odd")
)


def odd(**values: Any) -> Device:
    """The device with values that it should not have."""
    return replace(NPU, **values)


odd_figure: Any = Figure("4", "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ZeroDivisionError("oh\x1b[2J"), "ZeroDivisionError: oh"),
        (SystemExit(3), "SystemExit: 3"),
        (None, "'NoneType' object is not iterable"),
        (["odd:0"], "it is a str, not a Device"),
        ([NPU] * 65, "it found 65 devices"),
        ([NPU, NPU], "it has a second odd:0"),
        ([odd(id="odd")], "its id must be like npu:0, not 'odd'"),
        ([odd(id="odd:0\x1b[2J")], "its id must be like npu:0"),
        ([odd(id=0)], "its id must be like npu:0, not 0"),
        ([odd(name=None)], "a text is a str, not a NoneType"),
        ([odd(kind="strange")], "'strange' is not a valid Kind"),
        ([odd(total=8)], "a figure is a Figure, not a int"),
        ([odd(total=Figure(-1, ""))], "a figure cannot be -1"),
        ([odd(total=Figure(1 << 63, ""))], "a figure cannot be"),
        ([odd(free=odd_figure)], "'str' object cannot be interpreted"),
        ([odd(free=Figure(9, ""))], "odd:0 has more free memory than memory"),
        ([odd(notes=3)], "'int' object is not subscriptable"),
        ([odd(notes=(3,))], "a text is a str, not a int"),
    ],
)
def test_invalid_devices_are_left_out_and_reported(
    command: Command, installed: Callable[..., PluginManager], answer: Any, reason: str
) -> None:
    installed(odd=plugin(probe_of(answer)), npu=gemmahub_npu)
    result = command("hardware", "--json")
    machine = json.loads(result.out)
    ids = [device["id"] for device in machine["devices"]]
    assert "npu:0" in ids
    assert ids.count("odd:0") == ("second" in reason)
    told = [problem["reason"] for problem in machine["problems"] if problem["probe"] == "odd"]
    assert any(reason in line for line in told), told
    assert command("plan", "gemma-3-27b-it:q4_0-qat").code == 0


def test_one_odd_device_does_not_hide_another(installed: Callable[..., PluginManager]) -> None:
    answer = [replace(NPU, id="?"), replace(NPU, id="odd:1", name="\x1b[2JFine")]
    manager = installed(odd=plugin(probe_of(answer)))
    machine = probe_machine(further=probes_of(manager))
    assert [d.name for d in machine.devices if d.id.startswith("odd")] == ["Fine"]


def test_probes_that_hang_cost_one_deadline_together_and_are_not_asked_again(
    installed: Callable[..., PluginManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    forever, asked = threading.Event(), []

    def hang(seen: Seen) -> Iterator[Device]:
        asked.append(seen.probe)
        forever.wait(60)
        yield NPU

    manager = installed(a=plugin(probe_of(hang, "a"), probe_of(hang, "b")), npu=gemmahub_npu)
    waits: list[float] = []

    def counted(seconds: float, calls: Any) -> Any:
        waits.append(seconds)
        return in_time(seconds, calls)

    monkeypatch.setattr("gemmahub.hardware.probe.in_time", counted)
    probes, impatient = probes_of(manager), replace(host.Host(), deadline=0.5)
    try:
        first = probe_machine(impatient, further=probes)
        again = probe_machine(impatient, further=probes)
    finally:
        forever.set()
    for machine in (first, again):
        assert "npu:0" in [device.id for device in machine.devices]
    assert [p.reason for p in first.problems if p.probe in "ab"] == [
        "no answer from the driver within 0.5 s"
    ] * 2
    assert [p.reason for p in again.problems if p.probe in "ab"] == [
        "it is still busy with an earlier call"
    ] * 2
    assert sorted(asked) == ["a", "b"]
    assert waits == [0.5, 0.5], "each machine is one wait for all probes"


def test_what_a_probe_prints_is_not_data(
    command: Command, installed: Callable[..., PluginManager]
) -> None:
    def talk(seen: Seen) -> list[Device]:
        sys.stdout.write("probing\n")
        return [NPU]

    installed(odd=plugin(probe_of(talk)))
    found = json.loads(command("hardware", "--json").out)["devices"]
    assert "odd:0" in [device["id"] for device in found]


def test_a_probe_sees_the_machine(installed: Callable[..., PluginManager]) -> None:
    seen_by: list[Seen] = []

    def look(seen: Seen) -> list[Device]:
        seen_by.append(seen)
        return []

    manager = installed(odd=plugin(probe_of(look)))
    machine = probe_machine(further=probes_of(manager))
    (seen,) = seen_by
    assert seen.memory == machine.memory
    assert seen.cpu.model == machine.cpu.model
    assert seen.host.system == sys.platform
