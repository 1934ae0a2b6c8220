"""What the chat asks of the file system: where an export goes, which image comes along,
which tools there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.conversations import file_name, write_export
from gemmahub.errors import UsageError
from gemmahub.service.tools import tools_of
from gemmahub.tui.commands import chats_command
from gemmahub.tui.screens.dialogs import LineDialog

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

    from gemmahub.conversations import Saved
    from gemmahub.engines.contract import Tool

IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})


async def export(app: App[Any], load: Callable[[], Saved]) -> Path | None:
    """Ask for a file, and write there what ``load`` gives by then; None when nobody wants it.

    Raises: GemmahubError.
    """
    saved = load()
    title = "Export to which file? (.md or .json)"
    only = _only_folder(app)
    name = str((only or Path.cwd()) / file_name(saved, "md"))
    chosen = await app.push_screen_wait(
        LineDialog(
            title,
            name,
            lambda text: _export_problem(text, only),
            lambda text: _command(saved.id, text, only),
        )
    )
    if chosen is None:
        return None
    path = _path(chosen, only)
    write_export(load(), path)
    return path


async def ask_image(app: App[Any]) -> Path | None:
    """Ask for an image; None when nobody wants one."""
    only = _only_folder(app)
    dialog = LineDialog(
        "Which image?", f"{only or Path.cwd()}/", lambda text: _image_problem(text, only)
    )
    chosen = await app.push_screen_wait(dialog)
    return None if chosen is None else _path(chosen, only)


async def ask_prompts(app: App[Any], command_for: Callable[[str], str]) -> Path | None:
    """Ask for a file of prompts; None when nobody wants one."""
    only = _only_folder(app)
    dialog = LineDialog(
        "Which file of prompts? (one a line, or JSON lines)",
        f"{only or Path.cwd()}/",
        lambda text: _file_problem(text, only),
        command_for,
    )
    chosen = await app.push_screen_wait(dialog)
    return None if chosen is None else _path(chosen, only)


def tools_in(app: App[Any], text: str) -> tuple[Path, tuple[Tool, ...]]:
    """The file that a person names, and the tools in it. Raises: ValueError, with what is wrong."""
    path = _path(text, _only_folder(app)).absolute()
    try:
        return path, tools_of(path)
    except UsageError as error:
        raise ValueError(error.message) from None


def _only_folder(app: App[Any]) -> Path | None:
    """The one folder that the UI in a browser may use; None for a UI on a terminal."""
    found: Path | None = getattr(app, "files", None)
    return None if found is None else found.resolve()


def _path(text: str, only: Path | None) -> Path:
    """Raises: ValueError, with what is wrong."""
    try:
        path = (only or Path()) / Path(text).expanduser()
        path.exists()  # a name that is too long fails here
        place = path.resolve()
    except (OSError, RuntimeError, ValueError):  # too long, of an unknown user, links in a ring
        raise ValueError("that is not a path") from None
    if only is None:
        return path
    if not place.is_relative_to(only):
        raise ValueError(
            f"in a browser, files are in {only} only: gemmahub --web --files FOLDER names another"
        )
    return place


def _command(id_: str, text: str, only: Path | None) -> str:
    try:
        path = str(_path(text, only))
    except ValueError:
        path = text
    return chats_command("export", id_, "-o", path)


def _export_problem(text: str, only: Path | None) -> str:
    try:
        path = _path(text, only)
    except ValueError as error:
        return str(error)
    if path.suffix not in (".md", ".json"):
        return "the name must end in .md or .json"
    if path.exists():
        return "there is such a file already"
    return "" if path.parent.is_dir() else f"there is no folder {path.parent}"


def _file_problem(text: str, only: Path | None) -> str:
    try:
        path = _path(text, only)
    except ValueError as error:
        return str(error)
    return "" if path.is_file() else "there is no such file"


def _image_problem(text: str, only: Path | None) -> str:
    if problem := _file_problem(text, only):
        return problem
    path = _path(text, only)
    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    return "" if path.suffix.lower() in IMAGE_SUFFIXES else f"images end in {suffixes}"
