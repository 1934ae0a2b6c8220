"""The tests that every probe of devices passes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from gemmahub.engines.guarded_probe import GuardedProbe, check_probe
from gemmahub.hardware.device_probe import Seen
from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.host import Host
from gemmahub.hardware.probe import probe_machine
from gemmahub.testing.conformance.base import PluginConformance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.hardware.device_probe import DeviceProbe
    from gemmahub.hardware.records import Device


class _Refused(SystemFiles):
    """Files that are there, and that the system does not let us read."""

    def exists(self, name: str) -> bool:
        return True

    def text(self, name: str) -> str | None:
        raise Unreadable(f"/{name}: Permission denied")

    def names(self, folder: str, pattern: str) -> list[str]:
        raise Unreadable(f"/{folder}: Permission denied")


def _no_command(arguments: Sequence[str]) -> str:
    raise FileNotFoundError(arguments[0])


def _slow_command(arguments: Sequence[str]) -> str:
    raise subprocess.TimeoutExpired(list(arguments), 3)


def _no_library() -> Any:
    raise ImportError("there is no such library")


def _host(folder: Path, **changes: Any) -> Host:
    plain: dict[str, Any] = {
        "files": SystemFiles(folder),
        "command": _no_command,
        "nvml": _no_library,
        "environment": {},
        "psutil": _no_library,
    }
    return Host(**(plain | changes))


class DeviceConformance(PluginConformance):
    """Set ``plugin`` and write ``make_host``; ``probe_name`` chooses among several probes."""

    probe_name: ClassVar[str] = ""

    def make_host(self, folder: Path) -> Host:
        """A machine that has the device: files below ``folder`` that the probe reads, or commands.

        ::

            (folder / "sys/class/npu").mkdir(parents=True)
            ...
            return Host(files=SystemFiles(folder))
        """
        raise NotImplementedError("write make_host(self, folder) -> Host")

    @pytest.fixture
    def probe(self) -> DeviceProbe:
        """The probe, found through the plugin's entry point."""
        return self._offered("gemmahub_devices", "probe", check_probe, self.probe_name)

    def test_its_device_is_found(self, probe: DeviceProbe, tmp_path: Path) -> None:
        """With sane figures, an id of its own, and no problem told."""
        found, told = self._asked(GuardedProbe(probe), self.make_host(tmp_path))
        assert not told, told
        assert found, "no device was found on the machine that make_host gives"

    def test_figures_say_where_they_come_from(self, probe: DeviceProbe, tmp_path: Path) -> None:
        """A known figure names its source, an unknown one its reason."""
        for device in self._asked(probe, self.make_host(tmp_path))[0]:
            for figure in (device.total, device.free, device.used_by_others, device.bandwidth):
                if figure.value is None:
                    assert figure.doubt, f"{device.id}: why is a figure not known?"
                else:
                    assert figure.source, f"{device.id}: where does {figure.value:,} come from?"

    def test_its_device_counts_in_plans(self, probe: DeviceProbe, tmp_path: Path) -> None:
        """One whose free memory is known is a place that plans use."""
        machine = probe_machine(self.make_host(tmp_path), further=[GuardedProbe(probe)])
        own = {device.id for device in self._asked(probe, self.make_host(tmp_path))[0]}
        known = {d.id for d in machine.devices if d.available.value is not None}
        assert own & known, "no device reports free memory"

    def test_it_finds_the_same_again(self, probe: DeviceProbe, tmp_path: Path) -> None:
        """It is asked whenever the machine is looked at."""
        host = self.make_host(tmp_path)
        first, again = (self._asked(probe, host)[0] for _ in range(2))
        assert [device.id for device in first] == [device.id for device in again]

    @pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
    def test_a_machine_without_it_is_no_problem(
        self, probe: DeviceProbe, tmp_path: Path, system: str
    ) -> None:
        """Most have none: no device, no problem, on every system."""
        (tmp_path / "nothing").mkdir()
        found, told = self._asked(probe, _host(tmp_path / "nothing", system=system))
        assert (found, told) == ([], [])

    @pytest.mark.parametrize("what", ["files", "commands"])
    def test_a_machine_that_refuses_is_no_failure(
        self, probe: DeviceProbe, tmp_path: Path, what: str
    ) -> None:
        """Files that may not be read, commands that hang: at most a problem told."""
        refused: dict[str, Any] = {"files": _Refused(tmp_path)}
        slow: dict[str, Any] = {"command": _slow_command}
        host = _host(tmp_path, **(refused if what == "files" else slow))
        try:
            found, _ = self._asked(probe, host)
        except Exception as error:  # noqa: BLE001 - that is what is tested
            pytest.fail(f"where {what} are refused it raised {type(error).__name__}: {error}")
        assert found == []

    def test_nothing_is_printed(
        self, probe: DeviceProbe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A probe does not print."""
        host = self.make_host(tmp_path)
        capfd.readouterr()
        self._asked(probe, host)
        assert capfd.readouterr() == ("", "")

    def _asked(self, probe: DeviceProbe, host: Host) -> tuple[list[Device], list[str]]:
        """Devices, and what was told."""
        machine = probe_machine(host)
        seen = Seen(probe.name, host, machine.cpu, machine.memory)
        return list(probe.devices(seen)), [problem.reason for problem in seen.problems]
