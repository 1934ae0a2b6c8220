"""The last line of a screen: its keys by importance, as many as the width has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.keys import key_to_character
from textual.widget import Widget
from textual.widgets import Input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.binding import ActiveBinding

    Known = list[tuple[str, str, str]]


_NEVER_TYPED = ("ctrl+", "escape", "f1", "f5")


class KeyLine(Widget):
    """``wanted`` are actions with a word for each, the most important first; the last one is always
    there. A click presses the key."""

    DEFAULT_CSS = """
    KeyLine {
        dock: bottom;
        height: 1;
        background: $footer-background;
        color: $footer-foreground;
        text-wrap: nowrap;
    }
    """

    def __init__(self, wanted: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._wanted = wanted
        self._places: list[tuple[range, str]] = []

    def on_mount(self) -> None:
        """Other keys where the focus is another one."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> Content:
        """The keys that have room, with the last one at the end of them."""
        known = self._known()
        *others, last = known or [("", "", "")]
        left = self.size.width - _cells(last)
        shown: Known = []
        for key in others:
            if _cells(key) <= left:  # a shorter one behind it may have room
                shown.append(key)
                left -= _cells(key)
        self._places = []
        pieces: list[tuple[str, str]] = []
        at = 0
        for name, display, word in (*shown, last):
            self._places.append((range(at, at + _cells((name, display, word))), name))
            at = self._places[-1][0].stop
            pieces += [(f" {display}", "bold $footer-key-foreground"), (f" {word} ", "")]
        return Content.assemble(*pieces)

    def on_click(self, event: events.Click) -> None:
        """Press the key under the mouse."""
        for cells, key in self._places:
            if event.x in cells and key:
                self.app.simulate_key(key)

    def _known(self) -> Known:
        """Key, how it is shown, and word of each wanted action that has a key now."""
        found: dict[str, ActiveBinding] = {}
        for key, active in self.screen.active_bindings.items():
            if active.enabled and not self._is_typed(key, active):
                found.setdefault(active.binding.action, active)
        return [
            (found[action].binding.key, self.app.get_key_display(found[action].binding), word)
            for action, word in self._wanted
            if action in found
        ]

    def _is_typed(self, key: str, active: ActiveBinding) -> bool:
        """Whether the key is a letter of what is being typed."""
        focused = self.screen.focused
        if focused is None or active.binding.priority:
            return False
        if isinstance(focused, Input):  # arrows, copy and the like are the editor's own, too
            return active.node is focused or not key.startswith(_NEVER_TYPED)
        return focused.check_consume_key(key, key_to_character(key))


def _cells(key: tuple[str, str, str]) -> int:
    return Content(f" {key[1]} {key[2]} ").cell_length
