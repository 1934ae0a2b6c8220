"""What the UI offers where it finds neither an engine nor a model: ``gemmahub setup``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.widgets import Static

from gemmahub.errors import GemmahubError
from gemmahub.tui.bindings import named
from gemmahub.tui.screens.front import FrontScreen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import App
    from textual.widget import Widget

    from gemmahub.service import Library

SET_UP: Final = "gemmahub setup"
"""The command, and what the UI answers when a person wants it."""
_TEXT: Final = (
    "No engine and no model are installed yet.\n\n"
    f"{SET_UP} shows on one screen what this machine can do, installs an engine and downloads "
    "a model, each step after asking, and ends in a chat."
)


class SetupOffer(FrontScreen[str]):
    """Answers the command where it is wanted; in a browser it is only named."""

    BOX_TITLE = "First steps"
    BINDINGS: ClassVar[list[BindingType]] = named("setup", Binding("enter", "set_up", "Set up"))

    def __init__(self, *, in_terminal: bool) -> None:
        super().__init__()
        self._in_terminal = in_terminal

    def inside(self) -> Iterable[Widget]:
        """What is missing, and the keys."""
        yield Static(_TEXT, classes="front--text", markup=False)
        enter = "enter runs it here" if self._in_terminal else "run it in a terminal"
        yield Static(f"{enter} · escape looks around first", classes="front--keys", markup=False)

    def action_set_up(self) -> None:
        """Leave the UI for the command, where there is a terminal for it."""
        self.dismiss(SET_UP if self._in_terminal else None)


async def offer_setup(app: App[Any], library: Library) -> None:
    """Where neither an engine nor a model is here, offer what gets them."""
    if not await asyncio.to_thread(_is_bare, library):
        return
    command = await app.push_screen_wait(SetupOffer(in_terminal=not app.is_web))
    if command is not None:
        app.exit(command)


def _is_bare(library: Library) -> bool:
    from gemmahub.service.first_setup import is_bare

    try:
        return is_bare(library)
    except GemmahubError:  # the library says it
        return False
