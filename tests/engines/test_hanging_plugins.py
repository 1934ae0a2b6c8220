"""Plugins that never come back: every command goes on without them, and says who they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.engines.test_faults import HOOK, backend, install

if TYPE_CHECKING:
    from pathlib import Path

# A command that waited for one of them would never end.
SLEEP = "import time; time.sleep(86400)"
SERVER = """
    def {method}:
        import time; time.sleep(86400)
"""


def server(name: str, method: str) -> str:
    return backend(name) + SERVER.format(method=method)


# module -> (its text, the call that does not come back)
PLUGINS = {
    "in_import": (SLEEP, "its import"),
    "in_hook": (backend("h1", hook=SLEEP), "gemmahub_backends"),
    "in_availability": (backend("h2", SLEEP), "availability()"),
    "in_inventory": (
        f"from gemmahub import hookimpl\nclass S:\n  name = 'h3'\n  def inventory(self): {SLEEP}\n"
        "@hookimpl\ndef gemmahub_stores(): return [S()]",
        "inventory()",
    ),
    "in_checks": (f"{HOOK}def gemmahub_checks(): {SLEEP}", "gemmahub_checks"),
    "in_commands": (f"{HOOK}def gemmahub_commands(cli): {SLEEP}", "gemmahub_commands"),
    "in_settings": (f"{HOOK}def gemmahub_settings(): {SLEEP}", "gemmahub_settings"),
    "in_sources": (f"{HOOK}def gemmahub_sources(): {SLEEP}", "gemmahub_sources"),
    "in_formats": (f"{HOOK}def gemmahub_formats(): {SLEEP}", "gemmahub_formats"),
    "in_devices": (f"{HOOK}def gemmahub_devices(): {SLEEP}", "gemmahub_devices"),
}
SERVED = """
from gemmahub import hookimpl
from gemmahub.engines.contract import Availability, Backend

class Slow(Backend):
    name = "h4"
    in_process = False
    def availability(self):
        return Availability(True, "1")
    def served(self, seconds):
        import time; time.sleep(86400)
    def loaded(self):
        import time; time.sleep(86400)

@hookimpl
def gemmahub_backends():
    return [Slow()]
"""
PLUGINS["in_served"] = (SERVED, "served()")


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All these plugins, installed beside those that work."""
    folder = tmp_path_factory.mktemp("hanging")
    for name, (text, _) in PLUGINS.items():
        (folder / f"{name}_plugin.py").write_text(text)
        install(folder, name, f"{name}_plugin")
    return folder


def gemmahub(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gemmahub", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,  # of a very busy machine
    )


def test_plugins_names_the_call_that_did_not_come_back(hanging: Path) -> None:
    done = gemmahub(hanging, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["plugins"]}
    for name, (_, call) in PLUGINS.items():
        assert f"{call} took longer than 2 s" in " ".join(rows[name]["remarks"]), name
        assert rows[name]["state"] == "failed", name
    assert rows["echo"]["state"] == "ok"


def test_list_doctor_and_run_go_on(hanging: Path, tmp_path: Path) -> None:
    from gemmahub.testing.gguf_writer import write_gguf

    model = tmp_path / "model.gguf"
    metadata = {"general.architecture": "gemma3", "general.file_type": 2}
    write_gguf(model, metadata, [("token_embd.weight", (256, 256), "Q4_0")])
    listed = gemmahub(hanging, "list", "--folder", tmp_path, "--json")
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)
    assert [row["reference"] for row in found["models"]].count(str(model)) == 1
    broken = {entry["store"]: entry["reason"] for entry in found["broken"]}
    assert "took longer" in broken["h3"]
    assert "took longer" in broken["h4"]
    done = gemmahub(hanging, "run", model, "one two", "--backend", "echo")
    assert (done.returncode, done.stdout) == (0, "one two\n"), done.stderr
    checked = gemmahub(hanging, "doctor", "--json")
    assert checked.returncode == 1
    names = {check["name"] for check in json.loads(checked.stdout)["checks"]}
    assert {f"plugin {name}" for name in PLUGINS} <= names
    assert gemmahub(hanging, "--help").returncode == 0


def test_a_plugin_that_computes_endlessly(tmp_path: Path) -> None:
    (tmp_path / "busy_plugin.py").write_text(f"{HOOK}def gemmahub_backends():\n  while 1: pass")
    install(tmp_path, "busy", "busy_plugin")
    done = gemmahub(tmp_path, "plugins", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)["plugins"]}
    assert "gemmahub_backends took longer than 2 s" in rows["busy"]["remarks"][0]
    assert rows["echo"]["state"] == "ok"


def test_a_store_that_asks_for_patience_gets_it(tmp_path: Path) -> None:
    slow = (
        "from gemmahub import hookimpl\nfrom gemmahub.engines.contract import Inventory\n"
        "class S:\n  name = {0!r}\n  patience = {1}\n"
        "  def inventory(self):\n    import time; time.sleep(4); return Inventory()\n"
        "@hookimpl\ndef gemmahub_stores(): return [S()]"
    )
    for name, patience in (("patient", 60), ("hasty", "'soon'")):
        (tmp_path / f"{name}_plugin.py").write_text(slow.format(name, patience))
        install(tmp_path, name, f"{name}_plugin")
    one = {"GEMMAHUB_PLUGINS": "patient"}, {"GEMMAHUB_PLUGINS": "hasty"}
    states = []
    for variables in one:
        done = subprocess.run(
            [sys.executable, "-m", "gemmahub", "plugins", "--json"],
            env=os.environ | variables | {"PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        rows = {row["name"]: row for row in json.loads(done.stdout)["plugins"]}
        states.append(rows[variables["GEMMAHUB_PLUGINS"]]["state"])
    assert states == ["ok", "failed"]


async def test_the_ui_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a store, a server and a probe that never answer, the library shows the rest."""
    from types import SimpleNamespace

    from gemmahub import hookimpl
    from gemmahub.engines.manager import load_plugins
    from gemmahub.service import Library, plugin_rows
    from gemmahub.tui.app import GemmahubApp
    from gemmahub.tui.screens.plugins import PluginsScreen
    from tests.tui.library_support import HERE, loaded, steady_hub
    from tests.tui.library_support import install as install_model
    from tests.tui.ways import screen_of

    def never() -> object:
        import threading

        return threading.Event().wait()

    def print_and_raise() -> object:
        print("noise")  # noqa: T201 - that is what is tested
        raise ZeroDivisionError("oh")

    stores = [
        SimpleNamespace(name="never", inventory=never),
        SimpleNamespace(name="raises", inventory=print_and_raise),
        SimpleNamespace(name="lies", inventory=lambda: "abc"),
    ]
    plugin = SimpleNamespace(gemmahub_sources=hookimpl(never))
    liar = SimpleNamespace(gemmahub_stores=hookimpl(lambda: stores[1:]))
    plugin.gemmahub_stores = hookimpl(lambda: stores[:1])
    manager = load_plugins(only=["echo"])
    manager.add("never", lambda: plugin, "gemmahub-never", "1")
    manager.add("liar", lambda: liar, "gemmahub-liar", "1")
    monkeypatch.setattr(Library, "plugins_manager", manager)
    hub = steady_hub(tmp_path)
    install_model(tmp_path, HERE)
    async with GemmahubApp(hub).run_test(size=(120, 40)) as pilot:
        screen = await loaded(pilot)
        assert screen.overview is not None
        shown = [row.variant.reference for row in screen.overview.rows if row.installed]
        assert shown == [HERE]
        broken = {entry.store: entry.reason for entry in screen.overview.broken}
        assert "took longer" in broken["never"]
        assert broken["raises"] == "ZeroDivisionError: oh"
        assert broken["lies"] == "inventory() returned str"
        await pilot.press("p")
        await screen_of(pilot, PluginsScreen)
        rows = {row.name: row for row in plugin_rows.rows(hub)}
        assert rows["never"].state == rows["liar"].state == "failed"
