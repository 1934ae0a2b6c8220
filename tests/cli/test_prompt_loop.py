"""The prompt of a conversation: pasted lines, blocks, history, Ctrl-C and Ctrl-D."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from gemmahub.cli import prompt_loop
from gemmahub.cli.prompt_loop import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PASTE, PASTED = "\x1b[200~", "\x1b[201~"


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[Callable[[str], list[str | None]]]:
    """What the prompt reads of these keys, until the end of input."""
    with create_pipe_input() as keys:

        def read(text: str) -> list[str | None]:
            keys.send_text(f"{text}\x04")
            prompt = Prompt(tmp_path / "deep" / "history", input=keys, output=DummyOutput())
            found: list[str | None] = []
            while (question := prompt.read()) is not None:
                found.append(question)
            return found

        yield read


def test_pasted_lines_are_one_question_that_waits_for_enter(
    typed: Callable[[str], list[str | None]],
) -> None:
    assert typed(f"{PASTE}first\n\nsecond\nthird{PASTED} and more\r") == [
        "first\n\nsecond\nthird and more"
    ]


def test_marks_in_pasted_code_stay(typed: Callable[[str], list[str | None]]) -> None:
    code = 'def f():\n    """Do it."""\n    """ and "'
    assert typed(f"{PASTE}{code}{PASTED}\r") == [code]


@pytest.mark.parametrize(
    ("lines", "question"),
    [
        (['"""one', "two", 'three"""'], "one\ntwo\nthree"),
        (['"""', "one", '"""'], "one"),
        (['"""one line"""'], "one line"),
        (['Explain this: """for x in y:', "  pass", '"""'], "Explain this: for x in y:\n  pass"),
        (['"""one', "two", '""" and short'], "one\ntwo\n and short"),
        (['say """hello""" twice'], 'say """hello""" twice'),
    ],
)
def test_three_quotes_open_a_block_wherever_they_stand(
    lines: list[str], question: str, typed: Callable[[str], list[str | None]]
) -> None:
    assert typed("\r".join([*lines, "next", ""])) == [question, "next"]


def test_ctrl_c_drops_the_line_and_the_block(typed: Callable[[str], list[str | None]]) -> None:
    assert typed('abc\x03"""de\rf\x03hello\r') == ["", "", "hello"]


def test_earlier_questions_are_kept_for_their_owner_only(
    tmp_path: Path, typed: Callable[[str], list[str | None]]
) -> None:
    typed(f"hello\r{PASTE}one\ntwo{PASTED}\r")
    path = tmp_path / "deep" / "history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert typed("\x1b[A\r") == ["one\ntwo"]
    assert typed("\x1b[A\x1b[A\x1b[A\r") == ["hello"]  # from its second line to its first, then on


def test_a_long_history_loses_its_older_half(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: Callable[[str], list[str | None]],
) -> None:
    monkeypatch.setattr(prompt_loop, "_HISTORY_BYTES", 400)
    typed("".join(f"question {number}\r" for number in range(40)))
    assert typed("\x1b[A\r") == ["question 39"]
    path = tmp_path / "deep" / "history"
    assert path.stat().st_size < 400
    assert path.read_text().lstrip().startswith("#")


def test_a_folder_that_cannot_be_written_costs_the_history_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with create_pipe_input() as keys:
        keys.send_text("hello\r\x04")
        prompt = Prompt(tmp_path / "file" / "history", input=keys, output=DummyOutput())
        assert prompt.read() == "hello"
        assert prompt.read() is None
