"""What of this machine's files the UI in a browser reads and writes: those of one folder."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from textual.app import App
from textual.widgets import Input, Static

from gemmahub.conversations import Described, Saved, SavedMessage
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.screens import chat_files
from gemmahub.tui.screens.dialogs import LineDialog

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


class Asking(App[None]):
    """An application with the one folder of a browser's UI, or without."""

    def __init__(self, files: Path | None) -> None:
        super().__init__()
        self.files = files
        self.got: Any = None

    def ask_image(self) -> None:
        async def body() -> None:
            self.got = await chat_files.ask_image(self)

        self.run_worker(body())

    def export(self) -> None:
        async def body() -> None:
            self.got = await chat_files.export(self, conversation)

        self.run_worker(body())


def conversation() -> Saved:
    return Saved("20260101-000000-abc", Described("x"), messages=(SavedMessage("user", "hello"),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "shown"
    (found / "deep").mkdir(parents=True)
    for path in (found / "a.png", tmp_path / "private.png"):
        path.write_bytes(b"x")
    (found / "link.png").symlink_to(tmp_path / "private.png")
    (found / "away").symlink_to(tmp_path, target_is_directory=True)
    (found / "new.md").symlink_to(tmp_path / "made.md")
    return found


async def answer(pilot: Pilot[None], text: str) -> str:
    """Type an answer into the dialog; what it finds wrong with it, if anything."""
    async with asyncio.timeout(30):
        while not isinstance(dialog := pilot.app.screen, LineDialog):
            await pilot.pause()
    dialog.query_one(Input).value = text
    await pilot.pause()
    await pilot.press("enter")
    await pilot.pause()
    if pilot.app.screen is not dialog:
        return ""
    return str(dialog.query_one(".dialog--error", Static).render())


OUTSIDE = (
    "{up}/private.png",
    "../private.png",
    "deep/../../private.png",
    "link.png",
    "away/private.png",
    "/etc/hostname",
    "~/private.png",
    "{up}/shown-too/a.png",
)


@pytest.mark.parametrize("text", OUTSIDE)
async def test_an_image_of_another_folder_is_refused_in_a_browser(text: str, folder: Path) -> None:
    twin = folder.parent / "shown-too"
    twin.mkdir()
    (twin / "a.png").write_bytes(b"x")
    app = Asking(folder)
    async with app.run_test() as pilot:
        app.ask_image()
        wrong = await answer(pilot, text.format(up=folder.parent))
        assert f"in a browser, files are in {folder} only" in wrong
        assert not await answer(pilot, "a.png")
        assert app.got == folder / "a.png"


@pytest.mark.parametrize(
    "text", ["{up}/out.md", "../out.md", "away/out.md", "new.md", "/root/out.md", "~/out.json"]
)
async def test_an_export_to_another_folder_is_refused_in_a_browser(text: str, folder: Path) -> None:
    app = Asking(folder)
    async with app.run_test() as pilot:
        app.export()
        wrong = await answer(pilot, text.format(up=folder.parent))
        assert f"in a browser, files are in {folder} only" in wrong
        assert not await answer(pilot, "deep/out.md")
        assert app.got == folder / "deep" / "out.md"
    assert "hello" in (folder / "deep" / "out.md").read_text()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["private.png", "shown"]


@pytest.mark.parametrize("text", ["x" * 5000 + ".png", "~no-such-user/a.png", "a\0b.png"])
async def test_what_is_no_path_is_said(text: str, folder: Path) -> None:
    for files in (folder, None):
        app = Asking(files)
        async with app.run_test() as pilot:
            app.ask_image()
            assert await answer(pilot, text)
            assert app.got is None


async def test_a_ui_on_a_terminal_takes_files_from_everywhere(folder: Path) -> None:
    app = Asking(None)
    async with app.run_test() as pilot:
        app.ask_image()
        assert not await answer(pilot, str(folder.parent / "private.png"))
        assert app.got == folder.parent / "private.png"
    assert GemmahubApp().files is None
    assert GemmahubApp(files=folder).files == folder


def test_tools_of_a_browser_are_in_its_folder(folder: Path) -> None:
    tools = '[{"name": "look_up"}]'
    for path in (folder / "tools.json", folder.parent / "private.json"):
        path.write_text(tools)
    (folder / "link.json").symlink_to(folder.parent / "private.json")
    shown = Asking(folder)
    path, (tool,) = chat_files.tools_in(shown, "tools.json")
    assert (path, tool.name) == (folder / "tools.json", "look_up")
    for name in ("link.json", "../private.json", str(folder.parent / "private.json")):
        with pytest.raises(ValueError, match="in a browser, files are in"):
            chat_files.tools_in(shown, name)
    assert chat_files.tools_in(Asking(None), str(folder / "link.json"))[1] == (tool,)
