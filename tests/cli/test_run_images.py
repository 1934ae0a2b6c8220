"""``gemmahub run --image``: a picture goes from the command line to the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.stores.scan import projector_beside
from gemmahub.testing.model_writer import WIDTH, write_model
from gemmahub.testing.projector_writer import TOKENS, write_png, write_projector

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
QUESTION = "What is this?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "tiny-F32.gguf")
    write_projector(tmp_path / "mmproj-F16.gguf", WIDTH)
    write_png(tmp_path / "red.png", 40, 30, lambda x, y: (6 * x, 8 * y, 0))
    return tmp_path


def run(command: Command, folder: Path, *arguments: object) -> Any:
    model = folder / "tiny-F32.gguf"
    always = ("--temperature", 0, "-n", 8, "-c", 512)
    return command("run", model, QUESTION, *always, *arguments)


def test_an_image_goes_along(command: Command, folder: Path) -> None:
    image = ("--image", folder / "red.png")
    plain, one, two = (
        json.loads(run(command, folder, "--json", *images).out) for images in ((), image, image * 2)
    )
    asked = [found["usage"]["prompt_tokens"] for found in (plain, one, two)]
    assert asked[1] - asked[0] == asked[2] - asked[1] > TOKENS
    assert len({found["text"] for found in (plain, one, two)}) == 3


def test_what_the_projector_takes_is_reported_before(command: Command, folder: Path) -> None:
    found = run(command, folder, "--image", folder / "red.png")
    assert found.code == 0
    assert "the first image loads the projector (0 MiB)" in found.err
    assert "projector" not in run(command, folder).err


def test_without_a_projector_the_error_says_which_file(command: Command, folder: Path) -> None:
    (folder / "mmproj-F16.gguf").unlink()
    found = run(command, folder, "--image", folder / "red.png")
    assert found.code != 0
    assert "no image projector (mmproj-*.gguf) is beside tiny-F32.gguf" in found.err


def test_plain_completion_takes_none(command: Command, folder: Path) -> None:
    found = run(command, folder, "--raw", "--image", folder / "red.png")
    assert found.code == 2
    assert "leave out --raw" in found.err
    write_model(folder / "tiny-F32.gguf", template="")
    found = run(command, folder, "--image", folder / "red.png")
    assert found.code == 2
    assert "instruction-tuned model" in found.err


def test_a_model_that_does_not_hear_says_so(command: Command, folder: Path) -> None:
    (folder / "a.wav").write_bytes(b"RIFF")
    found = run(command, folder, "--audio", folder / "a.wav")
    assert found.code == 5
    assert "this model does not support audio" in found.err
    found = run(command, folder, "--audio", folder / "a.wav", "--backend", "llama.cpp")
    assert found.code == 5
    assert "llama.cpp does not support audio" in found.err
    found = run(command, folder, "--raw", "--audio", folder / "a.wav")
    assert found.code == 2
    assert "audio need a conversation" in found.err


def test_a_missing_image_is_found_before_loading(command: Command, folder: Path) -> None:
    found = run(command, folder, "--image", folder / "none.png")
    assert found.code == 2
    assert "none.png" in found.err


def test_the_projector_beside_a_file(folder: Path) -> None:
    projector = folder / "mmproj-F16.gguf"
    assert projector_beside(folder / "tiny-F32.gguf") == projector
    assert projector_beside(projector) is None
    assert projector_beside(folder) is None
    assert projector_beside(folder / "none" / "x.gguf") is None
    projector.unlink()
    assert projector_beside(folder / "tiny-F32.gguf") is None
