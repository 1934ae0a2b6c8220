"""Two plugins written from the docs: a source, and one with all that is no engine."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.testing.conformance import FormatConformance, SourceConformance, StoreConformance
from gemmahub.testing.hub.models import small_model
from tests.plugins_from_docs.conftest import HERE, gemmahub, install
from tests.plugins_from_docs.gemmahub_cellar import MAGIC, CellarStore
from tests.plugins_from_docs.gemmahub_shelf import ShelfSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.sources import Source

GIB = 1 << 30
CONTENT = small_model() + bytes(2**21)


def bottle(path: Path, rows: int = 64) -> None:
    """A model of 4 bits and a half."""
    weights = 256 * rows
    tensor = {"name": "token_embd.weight", "type": "cork5", "rows": rows, "columns": 256}
    header = json.dumps([tensor | {"bytes": weights * 9 // 16}]).encode()
    content = MAGIC + len(header).to_bytes(8, "little") + header + bytes(weights * 9 // 16)
    path.write_bytes(content)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Installs one of the plugins; the folder that its settings name."""

    def make(name: str) -> Path:
        install(tmp_path / "installed", name, f"gemmahub_{name}")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path / "installed"), str(HERE))))
        monkeypatch.syspath_prepend(str(tmp_path / "installed"))
        monkeypatch.syspath_prepend(str(HERE))
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv(name.upper(), str(folder))
        return folder

    return make


# --- the shelf: a source ---------------------------------------------------------------------


@pytest.fixture
def shelf(installed: Callable[[str], Path]) -> Path:
    folder = installed("shelf")
    (folder / "riesling.gguf").write_bytes(CONTENT)
    (folder / "riesling.sha256").write_text(hashlib.sha256(CONTENT).hexdigest())
    return folder


def test_a_model_of_the_shelf_is_inspected_pulled_and_run(
    command: Any, shelf: Path, tmp_path: Path
) -> None:
    found = json.loads(command("inspect", "shelf://riesling", "--json").out)
    assert found["installed"] is False
    assert found["precision"]["bits_per_weight"] > 4
    refused = command("pull", "shelf://riesling", "--yes")
    assert refused.code == 2
    assert "--to FOLDER" in refused.err
    to = tmp_path / "here"
    pulled = command("pull", "shelf://riesling", "--to", to, "--yes")
    assert pulled.code == 0, pulled.err
    assert (to / "riesling.gguf").read_bytes() == (shelf / "riesling.gguf").read_bytes()
    answer = command("run", to / "riesling.gguf", "in vino", "--backend", "echo")
    assert (answer.code, answer.out) == (0, "in vino\n")


class TestShelf(SourceConformance):
    plugin = "shelf"
    reference, unknown = "shelf://riesling", "shelf://merlot"
    content = CONTENT

    @pytest.fixture(autouse=True)
    def _place(self, shelf: Path) -> None:
        """Installed, with a model."""

    @pytest.fixture
    def source(self) -> ShelfSource:
        return ShelfSource()

    def damage(self, source: Source) -> None:
        path = Path(os.environ["SHELF"], "riesling.gguf")
        path.write_bytes(CONTENT[:-1] + b"x")


def test_what_the_shelf_has_not(command: Any, shelf: Path) -> None:
    assert command("inspect", "shelf://merlot").code == 3
    (shelf / "riesling.gguf").write_bytes(b"vinegar")
    assert command("inspect", "shelf://riesling").code in (1, 7)


# --- the cellar: all that is no engine -------------------------------------------------------


@pytest.fixture
def cellar(installed: Callable[[str], Path]) -> Path:
    folder = installed("cellar")
    bottle(folder / "claret.bottle")
    (folder / "barrel").write_text(str(24 * GIB))
    return folder


def test_its_store_and_its_format(command: Any, cellar: Path) -> None:
    rows = json.loads(command("list", "--json").out)["models"]
    (row,) = [row for row in rows if row["format"] == "bottle"]
    assert row["places"][0]["store"] == "cellar"
    assert row["precision"]["bits_per_weight"] == 4.5
    assert row["precision"]["types"][0]["type"] == "cork5"
    shown = command("inspect", row["reference"])
    assert "4.50 bits/weight" in shown.out
    refused = command("run", row["reference"], "hello")
    assert refused.code == 5
    assert "no installed backend runs bottle models" in refused.err


class TestCellar(StoreConformance):
    plugin = "cellar"

    @pytest.fixture(autouse=True)
    def _place(self, installed: Callable[[str], Path]) -> None:
        installed("cellar")

    def make_store(self, folder: Path) -> CellarStore:
        os.environ["CELLAR"] = str(folder)
        return CellarStore()

    def add_model(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        bottle(folder / f"{name}.bottle")
        with (folder / f"{name}.bottle").open("ab") as file:
            file.write(name.encode())

    def break_model(self, folder: Path, name: str) -> None:
        (folder / f"{name}.bottle").write_bytes(b"")


class TestBottles(FormatConformance):
    plugin = "cellar"

    @pytest.fixture(autouse=True)
    def _place(self, installed: Callable[[str], Path]) -> None:
        installed("cellar")

    def make_file(self, folder: Path) -> Path:
        bottle(folder / "big.bottle", rows=8192)
        return folder / "big.bottle"


def test_its_probe(command: Any, cellar: Path) -> None:
    machine = json.loads(command("hardware", "--json").out)
    (device,) = [d for d in machine["devices"] if d["id"] == "barrel:0"]
    assert device["free"]["value"] == 24 * GIB


def test_its_check_and_its_secret(
    command: Any, cellar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "it is locked" in command("doctor").out
    refused = command("config", "set", "plugins.cellar.pasword", "x")
    assert refused.code == 2
    assert "password" in refused.err
    assert command("config", "set", "plugins.cellar.password", "hunter2").code == 0
    listed = command("config", "list")
    assert "hunter2" not in listed.out + listed.err
    assert "open, with room for" in command("doctor").out


def test_its_command_uses_the_library(cellar: Path) -> None:
    done = gemmahub("cellar")
    assert done.returncode == 0, done.stderr
    assert "4.50 bits/weight" in done.stdout
    assert "List what lies in the cellar" in gemmahub("--help").stdout


def test_the_plugin_is_listed_as_ok(command: Any, cellar: Path) -> None:
    rows = {row["name"]: row for row in json.loads(command("plugins", "--json").out)["plugins"]}
    assert rows["cellar"]["state"] == "ok", rows["cellar"]
