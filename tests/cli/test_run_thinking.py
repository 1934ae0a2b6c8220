"""``gemmahub run --think``: thoughts are shown apart, and standard output is the answer alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.testing.model_writer import write_model, write_thinking_model
from tests.cli.on_terminal import OnTerminal

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
ENGINES = pytest.mark.parametrize("backend", ["llama.cpp", "llama-server"])
DIM = "\x1b[2m"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "thinking.gguf"
    write_thinking_model(path)
    return path


def run(command: Command, model: Path, *arguments: object) -> Any:
    return command("run", model, "Hi", "-c", 512, *arguments)


@ENGINES
def test_in_a_pipe_a_thought_is_one_line_on_standard_error(
    command: Command, model: Path, backend: str
) -> None:
    found = run(command, model, "--think", "--backend", backend)
    assert (found.code, found.out) == (0, "yes!\n")
    assert "thought for 0." in found.err
    assert "6 tokens" in found.err
    assert "PLAN" not in found.err


@pytest.mark.parametrize("asked", [(), ("--no-think",)])
def test_models_think_only_on_request(
    command: Command, model: Path, asked: tuple[str, ...]
) -> None:
    found = run(command, model, *asked, "--json")
    told = json.loads(found.out)
    assert (told["text"], told["thinking"], told["usage"]["reasoning_tokens"]) == ("yes!", None, 0)


@ENGINES
def test_json_has_the_thought_with_its_own_count_and_time(
    command: Command, model: Path, backend: str
) -> None:
    told = json.loads(run(command, model, "--think", "--json", "--backend", backend).out)
    thought = told["thinking"]
    assert (told["text"], thought["text"], thought["tokens"]) == ("yes!", "PLANIT", 6)
    assert thought["finished"] is True
    assert thought["seconds"] > 0
    assert told["usage"]["tokens"] > 10


@ENGINES
def test_a_budget_makes_it_shorter(command: Command, model: Path, backend: str) -> None:
    told = json.loads(run(command, model, "--think-budget", 2, "--json", "--backend", backend).out)
    assert told["text"] == "yes!"
    assert 0 < told["thinking"]["tokens"] <= 2


def test_a_thought_that_does_not_end_is_said_to_be_one(command: Command, model: Path) -> None:
    found = run(command, model, "--think", "-n", 5)
    assert found.out.strip() == ""
    assert "the model did not finish thinking, so there is no answer" in found.err
    assert "--think-budget" in found.err
    told = json.loads(run(command, model, "--think", "-n", 5, "--json").out)
    assert (told["text"], told["thinking"]["finished"]) == ("", False)


def test_what_cannot_think_says_so(command: Command, model: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.gguf"
    write_model(plain)
    found = run(command, plain, "--think")
    assert found.code == 5
    assert "the chat template of this model does not support thinking" in found.err
    found = run(command, model, "--think", "--raw")
    assert found.code == 2
    assert "leave out --raw" in found.err


def test_an_engine_that_thinks_in_its_text_shows_no_marker(command: Command, model: Path) -> None:
    text = "<|channel>I add four and four.<channel|>8"
    found = command("run", model, text, "--backend", "echo")
    assert found.out == "8\n"
    told = json.loads(command("run", model, text, "--backend", "echo", "--json").out)
    assert (told["text"], told["thinking"]["text"]) == ("8", "I add four and four.")


def test_no_thought_has_no_budget(command: Command, model: Path) -> None:
    found = run(command, model, "--no-think", "--think-budget", 5)
    assert found.code == 2
    assert "--no-think and --think-budget cannot be combined" in found.err


def test_on_a_terminal_the_thought_is_dimmed(
    model: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with OnTerminal("run", str(model), "Hi", "--think", "-c", "512") as terminal:
        terminal.read_until(f"{DIM}T")
        terminal.read_until("\r\n")
        terminal.read_until("yes!")
        assert terminal.exit_code() == 0
