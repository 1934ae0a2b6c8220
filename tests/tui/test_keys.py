"""Every key has a name, and the settings file gives it others."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.bindings import ANSWERS, KEYS, known_names, meaning_of, unknown_names
from gemmahub.tui.screens.downloads import DownloadsScreen
from tests.tui.library_support import loaded, steady_hub

if TYPE_CHECKING:
    import pytest

OPENED_BY = {
    "compare.back": {"c"},
    "explain.back": {"e"},
    "sizes.back": {"P"},
    "keys.back": {"f1", "question_mark"},
    "plugins.back": {"p"},
    "serving.back": {"E"},
}
SHOWN = {"question_mark": "?", "slash": "/", "minus": "-", "plus": "+"}
TUI = Path(__file__).parents[2] / "docs" / "guides" / "tui.md"


def test_the_documents_list_every_name() -> None:
    text = TUI.read_text(encoding="utf-8")
    for screen, names in groupby(sorted(known_names()), lambda name: name.partition(".")[0]):
        words = ", ".join(f"`{name.partition('.')[2]}`" for name in names)
        assert f"| {screen} | {words} |" in text


def test_every_key_means_one_thing_on_every_screen() -> None:
    """A binding that is new has to be put into the table, ``KEYS`` of gemmahub/tui/bindings.py."""
    openers = {each.keys.split(",")[0] for each in KEYS}
    bindings = {name: each for name, each in known_names().items() if name != ANSWERS["y"]}
    for name, binding in bindings.items():
        meaning = meaning_of(name)
        assert meaning is not None, f"{name} ({binding.key}) is not in the table of keys"
        other = set(binding.key.split(",")) - set(meaning.keys.split(","))
        if meaning.keys == "escape":  # the key that opened a screen closes it, too
            other -= OPENED_BY.get(name, set())
        other -= {key for key, of in ANSWERS.items() if of == name}
        assert not other, f"{name} has {binding.key}; everywhere else it is {meaning.keys}"
    assert set.union(*OPENED_BY.values()) <= openers | {"question_mark"}


def test_the_table_gives_each_key_and_each_thing_once() -> None:
    keys = [key for meaning in KEYS for key in meaning.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert len({meaning.says for meaning in KEYS}) == len(KEYS)


def test_the_first_key_of_a_thing_is_there_wherever_letters_are_typed() -> None:
    """An alias that is a letter is of no use there; the one that is first has to be bound."""
    for name, binding in known_names().items():
        if name.partition(".")[0] in ("chat", "duel", "conversations", "line", "search", "text"):
            assert [key for key in binding.key.split(",") if len(key) > 1], name


def test_the_documents_have_the_table_of_keys() -> None:
    text = TUI.read_text(encoding="utf-8")
    for meaning in KEYS:
        keys = ", ".join(f"`{SHOWN.get(key, key)}`" for key in meaning.keys.split(","))
        assert f"| {keys} | {meaning.says} |" in text, meaning


async def test_a_key_of_the_settings_goes_before_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    (tmp_path / "config.toml").write_text('[keys]\n"app.downloads" = "f7,ctrl+k"\n')
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(tmp_path / "config.toml"))
    app = GemmahubApp()
    async with app.run_test(notifications=True) as pilot:
        await pilot.app.workers.wait_for_complete()
        await pilot.press("D")
        assert not isinstance(app.screen, DownloadsScreen)
        for key in ("f7", "ctrl+k"):
            await pilot.press(key)
            assert isinstance(app.screen, DownloadsScreen)
            await pilot.press("escape")
        assert not app._notifications


async def test_a_name_that_does_not_exist_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    (tmp_path / "config.toml").write_text('[keys]\n"library.compere" = "C"\n')
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(tmp_path / "config.toml"))
    app = GemmahubApp()
    async with app.run_test(notifications=True) as pilot:
        await pilot.pause()
        (told,) = [notice.message for notice in app._notifications if "keys" in notice.message]
        assert told.startswith(
            "[keys] in the settings: there is no 'library.compere'; did you mean library.compare"
        )


def test_names_are_those_of_the_documents_for_any_screen() -> None:
    assert unknown_names({"library.compare": "C"}, known_names()) == ""
    assert "docs/guides/tui.md lists them" in unknown_names({"zzz": "C"}, known_names())


async def test_without_the_setting_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    async with GemmahubApp(steady_hub(tmp_path)).run_test() as pilot:
        await loaded(pilot)
        await pilot.press("D")
        assert isinstance(pilot.app.screen, DownloadsScreen)
