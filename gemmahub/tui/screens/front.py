"""What small screens in front of another one have in common: a box, a title, its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from gemmahub.tui.bindings import named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import ComposeResult
    from textual.widget import Widget

Result = TypeVar("Result")


class FrontScreen(ModalScreen[Result | None]):
    """A box in front of the screen; escape answers None."""

    BINDINGS: ClassVar = named("dialog", Binding("escape", "dismiss(None)", "Back"))
    BOX_TITLE: ClassVar = ""
    SCROLLS: ClassVar = True
    """Whether the box itself takes the keys, to be scrolled by them."""

    def __init__(self) -> None:
        super().__init__(classes="front")

    def compose(self) -> ComposeResult:
        """The box around what :meth:`inside` gives."""
        with VerticalScroll(classes="front--box") as box:
            box.can_focus = self.SCROLLS
            box.border_title = self.BOX_TITLE
            yield from self.inside()

    def inside(self) -> Iterable[Widget]:
        """The widgets in the box."""
        return ()
