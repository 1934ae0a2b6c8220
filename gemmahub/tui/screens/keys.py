"""Every key of a screen, with what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import App
from textual.binding import Binding
from textual.content import Content
from textual.keys import key_to_character
from textual.screen import Screen
from textual.widgets import Input, TextArea

from gemmahub.text import one_line
from gemmahub.tui.bindings import named
from gemmahub.tui.screens.front import FrontScreen
from gemmahub.tui.widgets.flowing import Flowing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.binding import ActiveBinding
    from textual.widget import Widget

    Rows = list[tuple[str, str]]

_HERE: Final = "This screen"
_LIST: Final = "Here"
_EVERYWHERE: Final = "Everywhere"
_EDITING: Final = "Editing"
_ORDER: Final = (_HERE, _LIST, _EVERYWHERE, _EDITING)
_PLAIN: Final = ("cursor_", "page_", "delete_left", "delete_right")
"""What every editor does by the same keys; an action with an argument selects."""
_GAP: Final = 2


class KeysScreen(FrontScreen[None]):
    """Made from the keys themselves, so that none is missing: those of the screen, of the
    application, then what the widget takes in which one writes."""

    BINDINGS: ClassVar = named(
        "keys", Binding("question_mark,f1", "dismiss(None)", "Back", show=False)
    )
    BOX_TITLE = "Keys"

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._groups = groups(screen)
        command = getattr(screen, "command", "")
        self._command = one_line(command.removeprefix("$ "), 1000) if command else ""

    def inside(self) -> Iterable[Widget]:
        """Keys, and what they do."""
        text = Flowing(classes="front--text")
        text.show(self._lines)
        yield text

    def _lines(self, width: int) -> Content:
        widest = max((len(keys) for rows in self._groups.values() for keys, _ in rows), default=0)
        lines = [Content.styled(f"$ {self._command}", "$text-muted")] if self._command else []
        for heading, rows in self._groups.items():
            lines += [Content("")] * bool(lines)
            lines.append(Content.styled(heading, "bold $text-primary"))
            lines += _grid(rows, widest, width)
        return Content("\n").join(line.rstrip() for line in lines)


def _grid(rows: Rows, widest: int, width: int) -> list[Content]:
    """Rows in two columns where they fit; keys are ``widest`` cells, all is ``width``."""
    cells = [Content.assemble((f"{k:>{widest}} ", "bold $text-accent"), d) for k, d in rows]
    longest = max(cell.cell_length for cell in cells) + _GAP
    height = len(cells) if width + _GAP < 2 * longest else -(-len(cells) // 2)
    padded = [cell.extend_right(longest - cell.cell_length) for cell in cells]
    return [Content.assemble(*padded[number::height]) for number in range(height)]


def groups(screen: Screen[Any]) -> dict[str, Rows]:
    """Keys and descriptions below their headings, in the order of their declaration; keys of one
    action together. Keys that would be typed as letters now are left out."""
    found: dict[str, dict[tuple[str, str], list[str]]] = {heading: {} for heading in _ORDER}
    focused = screen.focused
    for key, active in screen.active_bindings.items():
        binding = active.binding
        if not binding.description or not active.enabled or _typed(focused, key, active):
            continue
        heading = _heading(screen, active)
        if heading == _EDITING and binding.action.startswith(_PLAIN):
            continue
        keys = found[heading].setdefault((binding.action, binding.description), [])
        display = screen.app.get_key_display(binding)
        if display not in keys:
            keys.append(display)
    rows = {
        heading: [(" ".join(keys), description) for (_, description), keys in group.items()]
        for heading, group in found.items()
    }
    rows[_EDITING] = [*getattr(focused, "KEYS", ()), *rows[_EDITING]]
    return {heading: group for heading, group in rows.items() if group}


def is_editing(active: ActiveBinding) -> bool:
    """Whether a key belongs to a widget in which one writes."""
    return isinstance(active.node, TextArea | Input)


def _heading(screen: Screen[Any], active: ActiveBinding) -> str:
    if is_editing(active):
        return _EDITING
    if isinstance(active.node, App) or active.binding in _OF_ALL_SCREENS:
        return _EVERYWHERE
    return _HERE if active.node is screen else _LIST


def _typed(focused: Widget | None, key: str, active: ActiveBinding) -> bool:
    """Whether the focused widget takes the key as text."""
    if focused is None or active.binding.priority or active.node is focused:
        return False
    return focused.check_consume_key(key, key_to_character(key))


_OF_ALL_SCREENS: Final = frozenset(Binding.make_bindings(Screen.BINDINGS))
