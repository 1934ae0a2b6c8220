"""What became of the model that a conversation was held with, and which others can go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.config import Config
from gemmahub.conversations import Described
from gemmahub.service import Library
from gemmahub.service.kept_model import kept_model, models_that_answer
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    (tmp_path / "models").mkdir()
    config = Config(
        tmp_path / "cache", tmp_path / "data", folders=(tmp_path / "models",), stores=frozenset()
    )
    return Library(config=config)


def test_one_that_is_here_has_no_note(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "models" / "tiny.gguf"
    write_model(path)
    precision = library.registry.resolve(str(path)).precision.summary
    held = Described(str(path), precision=precision)
    found = kept_model(library, held)
    assert (found.here, found.note) == (True, "")
    was = kept_model(library, Described(str(path), precision="Q8_0 · int8"))
    assert was.here
    assert was.note == f"the file was replaced: it was Q8_0 · int8, and is {precision} now"


@pytest.mark.parametrize(
    "reference",
    [
        "gemma-3-4b-it:q4_0-qat",  # in the catalogue, and not here
        "/nowhere/model.gguf",
        "ollama://gemma3:4b",
        "hf://user/repo/file.gguf",
        "no such model",
        "",
        "\x1b[31m\x00",
    ],
)
def test_one_that_is_gone_says_so(library: Library, reference: str) -> None:
    found = kept_model(library, Described(reference))
    assert not found.here
    assert found.note
    assert "\x1b" not in found.note


def test_a_broken_file_is_no_model_and_no_crash(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "models" / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    found = kept_model(library, Described(str(path)))
    assert not found.here
    assert models_that_answer(library, Described("x")) == []


def test_those_of_the_same_model_come_first(library: Library, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_model(tmp_path / "models" / f"{name}.gguf")
    variants = models_that_answer(library, Described("gone"))
    assert {v.reference.rpartition("/")[2] for v in variants} <= {"one.gguf", "two.gguf"}
    assert variants
    again = models_that_answer(library, Described("gone", model=variants[-1].name))
    assert again[0].name == variants[-1].name
