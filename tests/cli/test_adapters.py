"""``run --adapter`` and ``plan --adapter`` with the real model and a small random adapter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gemmahub.testing.folder_writer import write_model_folder
from plugins.llamaserver.tests.test_adapters import PROMPT, QUERY, RANK, WIDE, write_adapter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]

BASE = "gemma-3-270m:q4_k_m"


@pytest.mark.parametrize("engine", ["llama-server", "llama.cpp"])
def test_an_adapter_changes_the_answer_and_with_the_scale_0_does_not(
    command: Command, tmp_path: Path, engine: str
) -> None:
    path = write_adapter(tmp_path / "lora.gguf")
    asked = ("run", BASE, PROMPT, "-n", 8, "--temperature", 0, "-c", 256, "--backend", engine)
    plain = command(*asked)
    changed = command(*asked, "--adapter", path)
    assert (plain.code, changed.code) == (0, 0)
    assert changed.out != plain.out
    assert command(*asked, "--adapter", f"{path}=0").out == plain.out


def test_a_plan_counts_the_bytes_of_each_adapter(command: Command, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "lora.gguf")

    def weights(*words: object) -> int:
        found = json.loads(command("plan", BASE, "--json", *words).out)
        size: int = found["memory"]["weights_bytes"]
        return size

    size = 4 * RANK * (WIDE + QUERY)
    assert weights("--adapter", path, "--adapter", f"{path}=0.5") == weights() + 2 * size


@pytest.mark.parametrize("name", ["run", "plan"])
def test_an_adapter_that_is_none_of_the_model_is_refused(
    command: Command, tmp_path: Path, name: str
) -> None:
    other = write_adapter(tmp_path / "other.gguf", width=768)
    words = (name, BASE, *(["hello"] if name == "run" else []), "--adapter")
    found = command(*words, other)
    assert found.code != 0
    assert "has other sizes in the model" in found.err
    assert command(*words, tmp_path / "none.gguf").code == 3
    assert command(*words, f"{other}=much").code == 2


def test_an_engine_without_adapters_is_refused(command: Command, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "lora.gguf")
    folder = write_model_folder(tmp_path / "mlx")
    found = command("run", folder, "hello", "--adapter", path, "--backend", "mlx")
    assert found.code == 5
    assert "mlx has no adapters" in found.err
