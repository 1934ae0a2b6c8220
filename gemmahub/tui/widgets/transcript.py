"""Where the turns of a conversation stand, and what stands with them."""

from __future__ import annotations

from typing import ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static
from textual.widgets._toast import ToastRack

from gemmahub.text import one_line

_LONGEST = 1000


class Transcript(VerticalScroll, can_focus=False):
    """The turns below the command that does the same; short notices end where it ends, so that
    they cover neither the editor nor the footer."""

    DEFAULT_CSS = """
    Transcript {
        height: 1fr;
        scrollbar-size-vertical: 1;
        .transcript--command { height: auto; color: $text-muted; margin: 0 0 1 1; }
        .transcript--told { height: auto; color: $text-warning; margin: 0 0 1 1; }
        .transcript--earlier { height: auto; color: $text-muted; margin: 0 0 1 1; }
    }
    """
    ALLOW_MAXIMIZE: ClassVar = False

    def on_resize(self) -> None:
        """Notices stay above what stands below this."""
        for rack in self.screen.query(ToastRack):
            below = max(self.screen.size.height - self.region.bottom, 0)
            rack.styles.margin = (0, 0, below, 0)

    def show_command(self, command: str) -> None:
        """The first line; the one that was there goes."""
        line = Static(Content(f"$ {one_line(command, _LONGEST)}"), classes="transcript--command")
        self.query(".transcript--command").remove()
        self.mount(line, before=0)

    def tell(self, text: str) -> None:
        """A lasting fact, as the last line for now; the one that was told before goes."""
        self.query(".transcript--told").remove()
        if text:
            self.mount(Static(Content(one_line(text, _LONGEST)), classes="transcript--told"))
