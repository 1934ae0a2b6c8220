"""Text that is piped: beside a prompt, in other encodings, no text at all, far too much of it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gemmahub.cli import piped_text
from gemmahub.cli.piped_text import decode
from gemmahub.errors import UsageError
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny-F32.gguf"
    write_model(path)
    return path


@pytest.fixture
def piped(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """``gemmahub run`` with the echo engine, its standard input a file with these bytes."""

    def invoke(content: bytes, *arguments: str) -> Result:
        path = tmp_path / "piped"
        path.write_bytes(content)
        with path.open() as stream:
            monkeypatch.setattr("sys.stdin", stream)
            return command("run", model, *arguments, "--backend", "echo", "--json")

    return invoke


def text_of(result: Result) -> str:
    import json

    assert result.code == 0, result.err
    return str(json.loads(result.out)["text"])


def test_what_is_piped_follows_the_prompt(piped: Callable[..., Result]) -> None:
    assert text_of(piped(b"def f():\n    pass\n", "What is this?")).split() == (
        ["What", "is", "this?", "def", "f():", "pass"]
    )


@pytest.mark.parametrize("content", [b"", b"\n", b"  \r\n"])
def test_a_blank_pipe_leaves_the_prompt_alone(content: bytes, piped: Callable[..., Result]) -> None:
    assert text_of(piped(content, "Hello there")).split() == ["Hello", "there"]


def test_a_blank_pipe_is_not_a_prompt(piped: Callable[..., Result]) -> None:
    result = piped(b" \n", "-")
    assert result.code == 2
    assert "the prompt is empty" in result.out


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_text_is_decoded_by_what_it_says_of_itself(encoding: str) -> None:
    assert decode("Grüße, what is this?\r\nNothing".encode(encoding)) == (
        "Grüße, what is this?\nNothing"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("Grüße aus Köln".encode("latin-1"), "byte 2 is 0xFC): it looks like ISO-8859-1"),
        ("it’s — new".encode("cp1252"), "it looks like WINDOWS-1252"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
        (b"GGUF\3\0\0\0\0\0\0\0", "a model file"),
        (b"\x1f\x8b\x08\0\xff", "gzip data"),
        (b"text with\0a zero", "binary data"),
        ("cut off".encode("utf-16")[:-1], "UTF-16 that ends early"),
    ],
)
def test_what_is_not_text_is_refused_with_what_it_is(content: bytes, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode(content)
    assert told in caught.value.message
    assert caught.value.hint


def test_the_reason_reaches_the_command_line(piped: Callable[..., Result]) -> None:
    result = piped("Schöne Grüße".encode("latin-1"), "Translate:")
    assert result.code == 2
    assert "ISO-8859-1" in result.out


def test_more_than_the_most_is_refused(
    piped: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piped_text, "MOST_BYTES", 1000)
    result = piped(b"word " * 201, "-")
    assert result.code == 2
    assert "more than 1.00 KB" in result.out


def test_a_program_whose_input_stays_open_says_what_it_waits_for(model: Path) -> None:
    arguments = ["run", str(model), "Hello", "--backend", "echo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-m", "gemmahub", *arguments], stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        assert process.stderr is not None
        assert b"reading standard input" in process.stderr.readline()
        assert process.communicate(b"world")[0].split() == [b"Hello", b"world"]
