"""Plugins and doctor: what is installed, what does not work, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from gemmahub.errors import GemmahubError
from gemmahub.text import one_line
from gemmahub.tui.bindings import named
from gemmahub.tui.widgets.flowing import Flowing
from gemmahub.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from gemmahub.engines.contract import CheckResult
    from gemmahub.service import Library
    from gemmahub.service.plugin_rows import PluginRow

_LONG = 500
_STATES = {
    "ok": ("✓ ok     ", "$text-success"),
    "warning": ("! warning", "$text-warning"),
    "failed": ("✗ failed ", "$text-error"),
    "left out": ("· unused ", "$foreground-muted"),
    "disabled": ("· off    ", "$foreground-muted"),
}
_NARROW = 90


class PluginsScreen(Screen[None]):
    """Looked up in a thread: a check may take its time."""

    BINDINGS: ClassVar = named(
        "plugins",
        Binding("escape,p", "dismiss(None)", "Back"),
        Binding("f5", "look", "Look again"),
    )

    @dataclass
    class Looked(Message):
        """What was found; ``error`` where looking itself failed."""

        plugins: Sequence[PluginRow] = ()
        checks: Sequence[CheckResult] = ()
        error: GemmahubError | None = None

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.library = library

    def compose(self) -> ComposeResult:
        """The two reports below each other."""
        with VerticalScroll(id="report"):
            yield Flowing(id="checks")
            yield Flowing(id="plugins")
        yield Static("$ gemmahub doctor; gemmahub plugins", id="command", markup=False)
        yield StatusLine()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Look."""
        self.query_one("#checks", Flowing).show(
            lambda _: Content.styled("looking …", "$foreground-muted")
        )
        self.look()

    def action_look(self) -> None:
        """Look again."""
        self.look()

    @work(thread=True, exclusive=True, exit_on_error=False, group="doctor")
    def look(self) -> None:
        """Plugins first: they are here at once."""
        from gemmahub.service import doctor, plugin_rows

        try:
            plugins = plugin_rows.rows(self.library)
            self.post_message(self.Looked(plugins, doctor.checks(self.library)))
        except Exception as error:  # noqa: BLE001 - a plugin may raise what it likes
            self.post_message(self.Looked(error=GemmahubError.of(error)))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        checks, plugins = self.query_one("#checks", Flowing), self.query_one("#plugins", Flowing)
        if event.error is not None:
            text = event.error.in_full
            checks.show(lambda _: Content.styled(text, "$text-error"))
            return
        checks.show(lambda width: _checks(event.checks, width))
        plugins.show(lambda width: _plugins(event.plugins, width))


def _checks(checks: Sequence[CheckResult], width: int) -> Content:
    wrong = sum(check.status != "ok" for check in checks)
    want = "wants" if wrong == 1 else "want"
    head = f"{wrong} of {len(checks)} {want} attention" if wrong else "everything works"
    lines = [Content.assemble(("Doctor  ", "bold $text-primary"), (head, "$foreground-muted"))]
    lines += [_line(check.status, check.name, check.message, check.hint, width) for check in checks]
    return Content("\n").join(lines)


def _plugins(plugins: Sequence[PluginRow], width: int) -> Content:
    lines = [Content.styled("Plugins", "bold $text-primary")]
    if not plugins:
        told = (
            "No plugin is installed. Engines, stores and sources are plugins: without one no model "
            "is run. gemmahub setup installs an engine; f5 looks again."
        )
        lines += [Content(part) for part in _wrapped(told, width)]
    for row in plugins:
        broken = [b for b in row.backends if not b.available]
        state = "warning" if row.state == "ok" and broken else row.state
        name = f"{row.name} {row.version}"
        wrong = [f"{b.name}: {b.reason}; {b.hint}" for b in broken]
        if row.state != "ok":
            wrong += row.remarks
        works = [f"{b.name} {b.version}" for b in row.backends if b.available]
        message = ", ".join((*row.offers, *(f"found {engine}" for engine in works)))
        lines.append(_line(state, name, message, "; ".join(wrong), width))
    return Content("\n").join(lines)


def _line(state: str, name: str, message: str, hint: str, width: int) -> Content:
    """State, name and message in columns; a longer message goes on below its own column."""
    word, style = _STATES.get(state, (f"? {state}"[:9].ljust(9), "$text-warning"))
    pad = 18 if width < _NARROW else 24
    indent = 9 + 2 + pad + 1
    found = [
        Content.assemble((word, style), "  ", (one_line(name, pad).ljust(pad), "bold"), " ", first)
        if not number
        else Content(" " * indent + first)
        for number, first in enumerate(_wrapped(message, width - indent))
    ]
    for number, part in enumerate(_wrapped(hint, width - indent - 2) if hint else []):
        mark = "→ " if not number else "  "
        found.append(Content.styled(" " * indent + mark + part, "$text-accent"))
    return Content("\n").join(found)


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(one_line(text, _LONG), max(20, width)) or [""]
