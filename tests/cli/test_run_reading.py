"""How far a long prompt is read stands on the terminal until the answer begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.on_terminal import OnTerminal

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_long_prompt_says_how_much_of_it_is_read(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path))
    asked = ("run", str(tiny_model), "word " * 1500, "--backend", "echo")
    with OnTerminal(*asked) as terminal:
        terminal.read_until("reading the prompt: 512 of 1,500 tokens")
        terminal.read_until("reading the prompt: 1,024 of 1,500 tokens")
        terminal.read_until("\x1b[K")  # it goes before the answer stands there
        terminal.read_until("word word")
        assert terminal.exit_code() == 0
