"""Commands that are printed for a person are made in one place, and a shell takes them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmahub.catalog.header import write_catalog_header
from gemmahub.catalog.loader import load_catalog
from gemmahub.text.command import command_line, command_to_run

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent


def test_words_with_spaces_and_quotes_are_quoted() -> None:
    line = command_line("pull", "/a b/it's.gguf", system="be brief; rm *")
    assert shlex.split(line) == [
        "gemmahub", "pull", "/a b/it's.gguf", "--system", "be brief; rm *",
    ]  # fmt: skip


def test_options_that_are_not_given_are_left_out() -> None:
    line = command_line("plan", "x", exact=True, verify=False, ram="", memory=None, gpu_layers=0)
    assert line == "gemmahub plan x --exact --gpu-layers 0"


def test_an_option_with_several_values_is_given_for_each() -> None:
    assert command_line("run", "x", option=("a=1", "b=2")) == (
        "gemmahub run x --option a=1 --option b=2"
    )


def test_defaults_of_run_are_left_out() -> None:
    assert command_to_run("x") == "gemmahub run x"
    assert command_to_run("x", 0, "f16", threads=None) == "gemmahub run x"
    assert command_to_run("x", 512, "q4_0", gpu_layers=0) == (
        "gemmahub run x --ctx-size 512 --cache-type q4_0 --gpu-layers 0"
    )


def test_recommend_prints_a_path_with_a_space_as_a_shell_takes_it(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_catalog().model("gemma-3-1b-it")
    assert model is not None
    folder = tmp_path / "my models"
    folder.mkdir()
    write_catalog_header(model, model.variants[0], folder / "own build.gguf")
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(folder))
    monkeypatch.delenv("GEMMAHUB_STORES")
    done = command("recommend", "--installed", "--memory", "8GiB", "--json")
    assert done.code == 0, done
    commands = [item["command"] for item in json.loads(done.out)["recommendations"]]
    paths = [shlex.split(line)[2] for line in commands]
    assert str(folder / "own build.gguf") in paths, commands


def test_nothing_else_quotes_words_for_a_shell() -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for room in (ROOT / "gemmahub", *(ROOT / "plugins").glob("*/gemmahub_*"))
        for path in room.rglob("*.py")
        if "shlex" in path.read_text("utf-8")
    }
    assert files == {"gemmahub/text/command.py"}
