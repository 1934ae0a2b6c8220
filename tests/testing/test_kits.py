"""The kits for formats, devices, stores and sources find each defect that they are there for."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.testing.conformance import (
    DeviceConformance,
    FormatConformance,
    SourceConformance,
    StoreConformance,
)
from gemmahub.testing.scaffold import new_plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Results = dict[tuple[str, str], str]  # (class, test) -> the worst that happened to it

HERE = Path(__file__).parent
KITS = {
    "format": FormatConformance,
    "device": DeviceConformance,
    "store": StoreConformance,
    "source": SourceConformance,
}
SOUND = {
    "SandbankReader": "format",
    "CarefulProbe": "device",
    "SoundStore": "store",
    "SoundSource": "source",
}
HEAVY = "test_importing_the_plugin_loads_no_engine"

PLUGIN = """
from gemmahub import hookimpl
from defective_parts import offer
{heavy}

@hookimpl
def gemmahub_{hook}s():
    return [offer("{name}")]
"""

HEAD = """
import hashlib
import warnings
from dataclasses import dataclass

import pytest

import defective_parts
from gemmahub.config import load_config
from gemmahub.hardware.files import SystemFiles
from gemmahub.hardware.host import Host
from gemmahub.testing.conformance import *
from defective_parts.sandbank import write_sandbank

def make_file(self, folder):
    load_config()  # the user's, which is broken, is not read
    warnings.warn("an engine says so itself", DeprecationWarning)
    return write_sandbank(folder / "a.sand", ("t", "sand5", [1000, 1000], 1_600_000, 1_000_000))

def make_host(self, folder):
    (folder / "sys/class/npu").mkdir(parents=True, exist_ok=True)
    for name, size in (("total", 1 << 34), ("free", 1 << 33)):
        (folder / "sys/class/npu" / name).write_text(f"{size}\\n")
    return Host(files=SystemFiles(folder))

def make_store(self, folder):
    return getattr(defective_parts, self.offered)(folder)

def add_model(self, folder, name):
    (folder / "user" / name).mkdir(parents=True)
    (folder / "user" / name / f"{name}-Q4_0.gguf").write_bytes(b"GGUF" + name.encode() * 1000)

def break_model(self, folder, name):
    path = folder / "user" / name / f"{name}-Q4_0.gguf"
    path.unlink()
    path.symlink_to("nowhere.gguf")

CONTENT = b"GGUF" + bytes(range(256)) * 1000

@pytest.fixture
def source(self, tmp_path):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "tiny.gguf").write_bytes(CONTENT)
    (shelf / "tiny.gguf.sha256").write_text(hashlib.sha256(CONTENT).hexdigest())
    return getattr(defective_parts, self.offered)(shelf, tmp_path / "target")

def damage(self, source):
    (source.shelf / "tiny.gguf").write_bytes(CONTENT[:-1] + b"?")
"""

BODY = {
    "format": "make_file = make_file",
    "device": "make_host = make_host",
    "store": "make_store, add_model, break_model = make_store, add_model, break_model",
    "source": """reference, unknown, content = "ledge://tiny", "ledge://nothing", CONTENT
    source, damage = source, damage""",
}
CLASS = """
class Test{name}({kit}):
    plugin, offered = "{plugin}", "{offered}"
    {body}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the defective parts, and what they are made of."""
    folder = tmp_path_factory.mktemp("kits")
    ledge = new_plugin("ledge", folder, taken=(), version="0.1.0", kind="source")
    ledge.write()
    package = folder / "defective_parts"
    package.mkdir()
    copies = {
        HERE / "defective_parts.py": "__init__.py",
        HERE.parent / "stranger" / "gemmahub_sandbank.py": "sandbank.py",
        ledge.folder / "gemmahub_ledge" / "source.py": "ledge.py",
    }
    for source, name in copies.items():
        shutil.copy(source, package / name)
    return folder


@pytest.fixture(scope="module")
def defects(folder: Path) -> Iterator[dict[str, tuple[str, str]]]:
    """Each defective part with its kit and the test that has to find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        found: dict[str, tuple[str, str]] = importlib.import_module("defective_parts").DEFECTS
        yield found | {f"Heavy{kit.capitalize()}": (kit, HEAVY) for kit in KITS}


@pytest.fixture(scope="module")
def results(
    folder: Path,
    install: Callable[[Path, str, str], None],
    run_pytest: Callable[..., Results],
    defects: dict[str, tuple[str, str]],
) -> Results:
    """One run: the sound ones through their whole kit, each other one through its test."""
    classes, nodes = [HEAD], []
    for name, kit in (SOUND | {name: kit for name, (kit, _) in defects.items()}).items():
        plugin, test = f"of-{name.lower()}", defects.get(name, ("", ""))[1]
        sound = next(sound for sound, of in SOUND.items() if of == kit)
        offered = sound if test == HEAVY else name
        module = f"of_{name.lower()}"
        install(folder, plugin, f"defective_parts.{module}")
        heavy = "import markupsafe" if test == HEAVY else ""
        text = PLUGIN.format(hook=kit, name=offered, heavy=heavy)
        (folder / "defective_parts" / f"{module}.py").write_text(text)
        kit_name = KITS[kit].__name__
        classes.append(
            CLASS.format(name=name, kit=kit_name, plugin=plugin, offered=offered, body=BODY[kit])
        )
        nodes.append(f"test_kits.py::Test{name}" + (f"::{test}" if test else ""))
    (folder / "test_kits.py").write_text("".join(classes))
    (folder / "broken.toml").write_text("[")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEMMAHUB_CONFIG", str(folder / "broken.toml"))
        patch.setenv("GEMMAHUB_PLUGINS", "")
        return run_pytest(folder, *nodes)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_one_passes(name: str, results: Results) -> None:
    own = {test: state for (owner, test), state in results.items() if owner == f"Test{name}"}
    assert {test: state for test, state in own.items() if state != "passed"} == {}
    assert set(own) == kit_tests(SOUND[name])


def test_each_defect_is_found(results: Results, defects: dict[str, tuple[str, str]]) -> None:
    states = {name: results[f"Test{name}", test] for name, (_, test) in defects.items()}
    assert {name: state for name, state in states.items() if state != "failure"} == {}


@pytest.mark.parametrize("kit", KITS)
def test_every_test_of_a_kit_finds_a_defect(kit: str, defects: dict[str, tuple[str, str]]) -> None:
    assert kit_tests(kit) == {test for of, test in defects.values() if of == kit}


@pytest.mark.parametrize("kit", KITS.values())
def test_a_test_of_a_kit_cannot_be_changed(kit: type) -> None:
    with pytest.raises(TypeError, match="test_nothing_is_printed"):
        type("Changed", (kit,), {"test_nothing_is_printed": None})


def kit_tests(kit: str) -> set[str]:
    return {name for name in dir(KITS[kit]) if name.startswith("test_")}
