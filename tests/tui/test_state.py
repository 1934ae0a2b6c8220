"""What the UI remembers: kept, and a damaged file is kept aside and never written over."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from gemmahub.tui.state import State, UiState

if TYPE_CHECKING:
    from pathlib import Path


def test_state_is_kept(tmp_path: Path) -> None:
    state = State(tmp_path / "data")
    assert state.values == UiState()
    state.remember(theme="gemmahub-light", reverse=True)
    assert State(tmp_path / "data").values == UiState(theme="gemmahub-light", reverse=True)
    assert json.loads((tmp_path / "data" / "tui.json").read_text()) == {
        "theme": "gemmahub-light",
        "reverse": True,
    }
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["tui.json"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "5", "NaN", "\udcff", "[" * 100_000, '{"a":' * 100_000),
        *('{"theme": 3, "later": 1}', '{"reverse": 1}', '{"sort": "colour"}', '{"show": null}'),
        *('{"use": ["chat"]}', '{"use": "war"}', '{"theme": 1e400}', '{"filter": ' + "9" * 5000),
        *('{"filter": "' + "x" * 20_000 + '"}', '{"later": ' + "[" * 40 + "]" * 40 + "}"),
        *('{"reverse": "yes"}', '{"later": NaN}', "x" * 1_000_001),
    ],
    ids=lambda text: text[:20],
)
def test_a_damaged_state_is_kept_aside_and_as_good_as_none(tmp_path: Path, text: str) -> None:
    raw = text.encode(errors="surrogateescape")
    (tmp_path / "tui.json").write_bytes(raw)
    (tmp_path / "tui.json.damaged").write_bytes(b"an earlier one")
    state = State(tmp_path)
    assert state.values == UiState()
    assert "tui.json.damaged-2" in state.problem
    state.remember(sort="size")
    again = State(tmp_path)
    assert again.values.sort == "size"
    assert again.problem == ""
    assert (tmp_path / "tui.json.damaged").read_bytes() == b"an earlier one"
    assert (tmp_path / "tui.json.damaged-2").read_bytes() == raw


def test_one_damaged_value_costs_no_other(tmp_path: Path) -> None:
    text = '{"theme": "nord", "sort": 5, "later": {"a": [1]}}'
    (tmp_path / "tui.json").write_text(text)
    state = State(tmp_path)
    assert state.values == UiState(theme="nord")
    assert "sort: expected a text, got a whole number" in state.problem
    assert (tmp_path / "tui.json.damaged").read_text() == text
    state.remember(reverse=True)
    assert json.loads((tmp_path / "tui.json").read_text()) == {
        "theme": "nord",
        "reverse": True,
        "later": {"a": [1]},
    }


def test_a_state_of_a_newer_version_is_not_written_to(tmp_path: Path) -> None:
    text = '{"version": 2, "theme": {"dark": "nord"}}'
    (tmp_path / "tui.json").write_text(text)
    state = State(tmp_path)
    state.remember(sort="size")
    assert (state.values.theme, state.values.sort) == ("", "size")
    assert "newer gemmahub" in state.problem
    assert (tmp_path / "tui.json").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["tui.json"]


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_state_that_is_no_file_is_kept_aside(tmp_path: Path, kind: str) -> None:
    (os.mkdir if kind == "folder" else os.mkfifo)(tmp_path / "tui.json")
    state = State(tmp_path)
    assert "it is not a file" in state.problem
    state.remember(sort="size")
    assert State(tmp_path).values.sort == "size"
    assert (tmp_path / "tui.json.damaged").exists()


def test_a_damaged_state_that_cannot_be_renamed_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tui.json").write_text("{")

    def refuse(*names: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "rename", refuse)
    state = State(tmp_path)
    state.remember(sort="size")
    assert "left unchanged" in state.problem
    assert (tmp_path / "tui.json").read_text() == "{"


def test_a_state_without_a_place() -> None:
    state = State(None)
    state.remember(sort="size")
    assert state.values.sort == "size"
