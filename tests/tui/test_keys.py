"""Every key has a name, and the settings file gives it others."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.bindings import known_names, unknown_names
from gemmahub.tui.screens.downloads import DownloadsScreen
from tests.tui.library_support import loaded, steady_hub

if TYPE_CHECKING:
    import pytest

TUI = Path(__file__).parents[2] / "docs" / "guides" / "tui.md"


def test_the_documents_list_every_name() -> None:
    text = TUI.read_text(encoding="utf-8")
    for screen, names in groupby(sorted(known_names()), lambda name: name.partition(".")[0]):
        words = ", ".join(f"`{name.partition('.')[2]}`" for name in names)
        assert f"| {screen} | {words} |" in text


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
