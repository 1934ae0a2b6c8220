"""The settings file: which backend runs which format."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gemmahub.config import load_config
from gemmahub.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, text: str) -> None:
    """The settings file of this test; see ``own_installation``."""
    (folder / "config.toml").write_text(text)


def test_a_backend_for_a_format_goes_before_the_one_for_all(tmp_path: Path) -> None:
    write(tmp_path, '[run]\nbackend = "llama.cpp"\n[run.backends]\ngguf = "ollama"\n')
    config = load_config()
    assert config.backend_for("gguf") == ("ollama", "run.backends.gguf")
    assert config.backend_for("mlx") == ("llama.cpp", "run.backend")


def test_no_settings_name_no_backend() -> None:
    assert load_config().backend_for("gguf") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[run]\nbackends = "ollama"\n', ("run.backends must be a table of texts", "gguf = ")),
        ("[run.backends]\ngguf = 1\n", ("run.backends must be a table of texts", "gguf = ")),
        ('[run.backends]\n"a b" = "ollama"\n', ("no format is called 'a b'", "gguf, safetensors")),
        ('[run]\nbackend = ["ollama"]\n', ("run.backend must be a text", 'backend = "')),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: tuple[str, str]) -> None:
    write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_config()
    assert words[0] in caught.value.message
    assert words[1] in caught.value.hint


DAMAGED = {
    "brackets": ("[run]\nx = " + "[" * 100_000, "nested too deeply (at line 2)"),
    "brackets, one a line": ("x = [\n" + "[\n" * 100_000, "nested too deeply (at line 65)"),
    "tables in tables": ("\n\nx = " + "{a=" * 50_000, "nested too deeply (at line 3)"),
    "a key of many parts": ("a." * 100_000 + "a = 1", "nested too deeply (at line 1)"),
    "a quoted key of many parts": ("'a' . " * 100_000 + "a = 1", "nested too deeply (at line 1)"),
    "a long number": ("[run]\nx = " + "9" * 5000, "thousands of digits (at line 2)"),
    "no value": ("[run]\nbackend =\n", "(at line 2, column 10)"),
    "an open list": ("[stores]\nfolders = [\n'a',\n", "(at line 3)"),
    "a key twice": ("[run]\nbackend = 'a'\nbackend = 'b'\n", "(at line 3"),
    "half of a surrogate pair": ('[run]\nbackend = "\\ud83d"\n', "(at line 2"),
    "a control character": ("[run]\nbackend = '\x07'\n", "(at line 2"),
    "too long": ("#" * 1_000_001, "longer than 1 MB"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_file_that_cannot_be_read_is_an_error_that_names_the_line(
    tmp_path: Path, kind: str
) -> None:
    text, words = DAMAGED[kind]
    write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_config()
    assert words in caught.value.message
    assert str(tmp_path / "config.toml") in caught.value.message
    assert (tmp_path / "config.toml").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_bytes_that_are_not_text_are_an_error_that_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"[run]\n\nbackend = '\xff'\n")
    with pytest.raises(UsageError, match=r"not UTF-8 text \(at line 3\)"):
        load_config()


def test_a_folder_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(UsageError, match="cannot read the settings file"):
        load_config()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[stores]\nfolders = 'x'\n", "stores.folders must be a list of texts"),
        ("[stores]\nfolders = [['x']]\n", "stores.folders must be a list of texts"),
        ("[stores]\nonly = [1]\n", "stores.only must be a list of texts"),
        ("[stores]\nonly = {}\n", "stores.only must be a list of texts"),
        ("[run]\nbackend = nan\n", "run.backend must be a text"),
        ("[run]\nbackend = 2026-01-01\n", "run.backend must be a text"),
        ("[run]\nbackend = true\n", "run.backend must be a text"),
        ("[run]\nbackends = []\n", "run.backends must be a table of texts"),
        ("[run]\nbackends = {gguf = {a = 1}}\n", "run.backends must be a table of texts"),
        ('[run]\nbackend = "a\\u0000b"\n', "run.backend has a NUL character"),
        ('[stores]\nfolders = ["a", "b\\u0000"]\n', "stores.folders has a NUL character"),
        ("run = 5\n", "there is no setting 'run'"),
        ("[[run]]\nbackend = 'x'\n", "there is no setting 'run'"),
        ('["a\\u001b[2J"]\nb = 1\n', "there is no setting 'a.b'"),
    ],
)
def test_a_setting_of_another_kind_is_named(tmp_path: Path, text: str, name: str) -> None:
    write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_config()
    assert name in caught.value.message


def test_the_home_folder_of_an_unknown_user_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "[stores]\nfolders = ['~nobody-is-called-so/x']\n")
    monkeypatch.setenv("GEMMAHUB_FOLDERS", "~nobody-is-called-so/y")
    assert [folder.name for folder in load_config().folders] == ["x", "y"]


def test_an_empty_device_is_a_file_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMMAHUB_CONFIG", os.devnull)
    assert load_config().source is None
