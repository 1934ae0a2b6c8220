"""What the chat asks of the file system: where an export goes, which image comes along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.conversations import file_name, write_export
from gemmahub.tui.commands import chats_command
from gemmahub.tui.screens.dialogs import LineDialog

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

    from gemmahub.conversations import Saved

IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})


async def export(app: App[Any], load: Callable[[], Saved]) -> Path | None:
    """Ask for a file, and write there what ``load`` gives by then; None when nobody wants it.

    Raises: GemmahubError.
    """
    saved = load()
    title = "Export to which file? (.md or .json)"
    name = str(Path.cwd() / file_name(saved, "md"))
    chosen = await app.push_screen_wait(
        LineDialog(title, name, _export_problem, lambda path: _command(saved.id, path))
    )
    if chosen is None:
        return None
    path = Path(chosen).expanduser()
    write_export(load(), path)
    return path


async def ask_image(app: App[Any]) -> Path | None:
    """Ask for an image; None when nobody wants one."""
    dialog = LineDialog("Which image?", f"{Path.cwd()}/", _image_problem)
    chosen = await app.push_screen_wait(dialog)
    return None if chosen is None else Path(chosen).expanduser()


def _command(id_: str, path: str) -> str:
    return chats_command("export", id_, "-o", str(Path(path).expanduser()))


def _export_problem(text: str) -> str:
    path = Path(text).expanduser()
    if path.suffix not in (".md", ".json"):
        return "the name must end in .md or .json"
    if path.exists():
        return "there is such a file already"
    return "" if path.parent.is_dir() else f"there is no folder {path.parent}"


def _image_problem(text: str) -> str:
    path = Path(text).expanduser()
    if not path.is_file():
        return "there is no such file"
    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    return "" if path.suffix.lower() in IMAGE_SUFFIXES else f"images end in {suffixes}"
