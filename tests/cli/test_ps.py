"""``gemmahub ps``, with servers of all kinds; the real one is tested in plugins/ollama."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

import gemmahub
from gemmahub.cli.ps import until
from gemmahub.engines.contract import Availability, Backend, LoadedModel
from gemmahub.engines.manager import PluginManager
from gemmahub.errors import BackendError
from gemmahub.service import Library
from gemmahub.service.loaded import loaded_models

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOADED = LoadedModel(
    "tiny\x1b[2J:q4", "good", "demo://tiny:q4", "Q4_0", 2**30, 2**29, 512, "GPU 50%, CPU 50%"
)


class Good(Backend):
    name: ClassVar[str] = "good"
    in_process: ClassVar[bool] = False

    def availability(self) -> Availability:
        return Availability(True, "1")

    def loaded(self) -> Sequence[LoadedModel]:
        return [LOADED, LoadedModel("unknown", "good")]


class Refusing(Good):
    name: ClassVar[str] = "refusing"

    def loaded(self) -> Sequence[LoadedModel]:
        raise BackendError("it talks nonsense", "look")


class Raising(Good):
    name: ClassVar[str] = "raising"

    def loaded(self) -> Sequence[LoadedModel]:
        raise KeyError("models")


class Down(Good):
    name: ClassVar[str] = "down"

    def availability(self) -> Availability:
        return Availability(False, reason="no server answers", hint="start it")


class Quiet(Backend):
    """An engine in this process has nothing to say, and is not asked."""

    name: ClassVar[str] = "quiet"

    def availability(self) -> Availability:
        raise AssertionError("not contacted")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> PluginManager:
    class Plugin:
        @staticmethod
        @gemmahub.hookimpl
        def gemmahub_backends() -> list[Backend]:
            return [Good(), Refusing(), Raising(), Down(), Quiet()]

    manager = PluginManager()
    manager.add("servers", lambda: Plugin, "gemmahub-servers", "1")
    monkeypatch.setattr(Library, "plugins_manager", manager)
    return manager


def test_one_server_that_fails_hides_no_other(servers: PluginManager) -> None:
    found = loaded_models(Library())
    assert [row.model.name for row in found.rows] == ["tiny:q4", "unknown"]
    remarks = sorted(found.remarks)
    assert [remark.partition(":")[0] for remark in remarks] == ["down", "raising", "refusing"]
    assert "KeyError" in remarks[1]


def test_the_table(servers: PluginManager, command: Callable[..., Any]) -> None:
    result = command("ps")
    assert result.code == 0
    assert "tiny:q4" in result.out
    assert "1.00 GiB" in result.out
    assert "GPU 50%, CPU 50%" in result.out
    assert "\x1b" not in result.out
    assert "no server answers" in result.err


def test_json(servers: PluginManager, command: Callable[..., Any]) -> None:
    found = json.loads(command("ps", "--json").out)
    first, second = found["models"]
    assert (first["memory_bytes"], first["device_bytes"], first["context"]) == (2**30, 2**29, 512)
    assert (first["precision"], first["label"], first["mismatch"]) == (None, "Q4_0", None)
    assert second["memory_bytes"] is second["context"] is None
    assert len(found["remarks"]) == 3


def test_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    result = command("ps")
    assert (result.code, result.out) == (0, "")
    assert "nothing is loaded" in result.err


def test_a_label_that_is_not_the_files(servers: PluginManager) -> None:
    from dataclasses import replace

    from gemmahub.service.loaded import LoadedRow

    here = Library()
    variant = here.registry.resolve("gemma-3-4b-it:q4_0-qat")
    assert LoadedRow(LOADED, variant).mismatch == ""
    wrong = LoadedRow(replace(LOADED, label="Q8_0"), variant)
    assert "says Q8_0, the file says Q4_0" in wrong.mismatch
    assert wrong.precision == variant.precision.short


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "now"), (20, "1 minute"), (299, "5 minutes"), (3 * 3600, "3 hours")],
)
def test_how_long(seconds: int, said: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert until((now + timedelta(seconds=seconds)).isoformat(), now) == said


def test_times_that_are_none() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert until("", now) == ""
    assert until("soon", now) == "soon"
    assert until("2318-01-01T00:00:00Z", now) == "unloaded by request"
    assert until("2026-01-01T00:00:00", now) == "2026-01-01T00:00:00"  # no zone: not known
