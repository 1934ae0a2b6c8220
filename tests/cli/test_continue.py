"""``gemmahub chats continue``: a kept conversation goes on from the command line."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import wave
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.conversations import ConversationStore, Described
from gemmahub.engines.contract import Settings
from tests.cli.on_terminal import OnTerminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Command = Any


@pytest.fixture
def store(tmp_path: Path) -> ConversationStore:
    return ConversationStore(tmp_path / "data")


@pytest.fixture(autouse=True)
def echo_answers(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[run]\nbackend = "echo"\n')


@pytest.fixture
def kept(store: ConversationStore, tiny_model: Path) -> str:
    """A conversation of one question and one answer."""
    return keep(store, tiny_model)


def keep(store: ConversationStore, model: Path, **settings: Any) -> str:
    with store.new(Described(str(model), settings=Settings(**settings))) as journal:
        journal.add("user", "one")
        number = journal.begin_answer("nobody")
        journal.part(number, "two")
        journal.end_answer(number, "stop")
    return journal.id


def said(store: ConversationStore, id_: str) -> list[str]:
    return [message.text for message in store.load(id_).messages]


def test_a_sound_goes_along_and_is_kept(
    command: Command, store: ConversationStore, kept: str, tmp_path: Path
) -> None:
    sound = tmp_path / "a.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(3200))
    result = command("chats", "continue", kept, "and three", "--audio", sound)
    assert (result.code, result.out) == (0, "(sound) and three\n")
    assert store.load(kept).messages[-2].audio == (str(sound),)
    assert "*Audio: " in command("chats", "export", kept).out
    again = command("chats", "continue", kept, "--again")
    assert (again.code, again.out) == (0, "(sound) and three\n")


def test_the_next_question_is_answered_and_kept(
    command: Command, store: ConversationStore, kept: str
) -> None:
    result = command("chats", "continue", kept[:-1], "and three", "-v")
    assert (result.code, result.out) == (0, "and three\n")
    assert "Tiny · Q4_0 · " in result.err
    assert "2 tokens" in result.err
    assert "ended by stop" in result.err
    assert said(store, kept) == ["one", "two", "and three", "and three"]
    assert store.load(kept).described.engine.startswith("echo 1")


def test_the_last_question_is_answered_again(
    command: Command, store: ConversationStore, kept: str
) -> None:
    result = command("chats", "continue", kept, "--again")
    assert (result.code, result.out) == (0, "one\n")
    assert said(store, kept) == ["one", "one"]


def test_it_is_loaded_as_it_was_held(
    command: Command, store: ConversationStore, tiny_model: Path
) -> None:
    id_ = keep(store, tiny_model, context=64)
    assert "context 64 " in command("chats", "continue", id_, "x").err
    assert "context 96 " in command("chats", "continue", id_, "x", "-c", "96").err


def test_another_model_takes_over(
    command: Command, store: ConversationStore, kept: str, tiny_model: Path
) -> None:
    other = tiny_model.with_name("other.gguf")
    tiny_model.rename(other)
    gone = command("chats", "continue", kept, "x")
    assert gone.code == 3
    assert "hint:" in gone.err
    assert command("chats", "continue", kept, "x", "--model", other).code == 0
    assert store.load(kept).described.reference == str(other)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("{kept}", "  "), 2, "gemmahub chats continue ID"),
        (("{kept}",), 2, "the prompt is empty"),  # standard input has nothing
        (("{kept}", "x", "--again"), 2, "leave out the prompt"),
        (("nothing", "x"), 3, "gemmahub chats list"),
    ],
)
def test_what_is_refused_loads_nothing(
    command: Command,
    store: ConversationStore,
    kept: str,
    words: tuple[str, ...],
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    result = command("chats", "continue", *(word.format(kept=kept) for word in words))
    assert result.code == code
    assert told in result.err
    assert "Tiny" not in result.err
    assert said(store, kept) == ["one", "two"]


def test_one_that_is_open_elsewhere_is_refused(
    command: Command, store: ConversationStore, kept: str
) -> None:
    with store.open(kept) as journal:
        journal.add("user", "mine")
        result = command("chats", "continue", kept, "x")
    assert result.code == 2
    assert "open" in result.err


SLOW = """
import gemmahub_echo.backend as b
b.EchoBackend.options = (b.Option("delay", "", float, 0.05),)
"""


@pytest.fixture
def going(
    tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], subprocess.Popen[str]]:
    """A long answer of an engine that takes its time, in a process of its own."""
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def start() -> subprocess.Popen[str]:
        words = ["chats", "continue", kept, "word " * 2000]
        return subprocess.Popen(
            [sys.executable, "-m", "gemmahub", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_was_shown_is_kept(
    store: ConversationStore,
    kept: str,
    going: Callable[[], subprocess.Popen[str]],
    number: signal.Signals,
) -> None:
    with going() as process:
        assert process.stdout is not None
        shown = process.stdout.read(20)
        process.send_signal(number)
        rest, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    answer = store.load(kept).messages[-1]
    assert answer.role == "assistant"
    assert answer.text.startswith((shown + rest).strip())
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert answer.finish == "cancelled"
    else:
        assert answer.finish == "interrupted"


def test_on_a_terminal_it_continues_until_the_end(store: ConversationStore, kept: str) -> None:
    with OnTerminal("chats", "continue", kept) as terminal:
        terminal.read_until(">>> one\r\ntwo")  # where it was left
        terminal.read_until(">>>")
        terminal.write(b"three\n")
        terminal.read_until("three\r\n")
        terminal.read_until(">>>")
        terminal.write(b"\x04")
        assert terminal.exit_code() == 0
    assert said(store, kept) == ["one", "two", "three", "three"]
