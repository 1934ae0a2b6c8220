"""Two or three variants side by side: precision, memory at several contexts, speed, quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from gemmahub.errors import GemmahubError
from gemmahub.service.comparing.text import about, compare_command, letter, machine_line
from gemmahub.text import one_line
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import copy_command
from gemmahub.tui.comparison_view import Drawn, drawn
from gemmahub.tui.widgets.flowing import Flowing
from gemmahub.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.app import ComposeResult

    from gemmahub.service import Library, Requirements
    from gemmahub.service.comparing.records import Comparison

_LONG = 400


class CompareScreen(Screen[None]):
    """What ``gemmahub compare`` says, with bars. Computed in a thread."""

    AUTO_FOCUS = "#compare"
    BINDINGS: ClassVar = named(
        "compare",
        Binding("escape,c", "dismiss(None)", "Back"),
        Binding("y,f9", "copy", "Copy the command", key_display="y"),
        Binding("tab", "section(1)", "Next part", key_display="tab"),
        Binding("shift+tab", "section(-1)", "Part before", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("pagedown", "page(1)", "A page down", show=False),
        Binding("pageup", "page(-1)", "A page up", show=False),
        Binding("home,g", "top", "To the start", show=False),
        Binding("end,G", "bottom", "To the end", show=False),
    )

    @dataclass
    class Compared(Message):
        """The figures are there."""

        comparison: Comparison

    @dataclass
    class Failed(Message):
        """They cannot be had."""

        error: GemmahubError

    def __init__(
        self,
        library: Library,
        references: Sequence[str],
        wanted: Requirements,
        elsewhere: Mapping[str, str] | None = None,
    ) -> None:
        """``elsewhere`` are the command's options for another machine."""
        super().__init__()
        self.library = library
        self.references = tuple(references)
        self.wanted, self.elsewhere = wanted, elsewhere or {}
        self.comparison: Comparison | None = None
        self._drawn = Drawn()

    def compose(self) -> ComposeResult:
        """Names that stay, figures that scroll, the command."""
        yield Flowing(id="names")
        with VerticalScroll(id="compare"):
            yield Flowing(id="figures")
        yield Static(f"$ {one_line(self.command, 1000)}", id="command", markup=False)
        yield StatusLine()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Look."""
        self.query_one("#names", Flowing).show(self._names)
        self.query_one("#figures", Flowing).show(
            lambda _: Content.styled("calculating …", "$foreground-muted")
        )
        self.look()

    @property
    def command(self) -> str:
        """What shows the same outside of here."""
        return compare_command(self.references, self.wanted.use, self.elsewhere)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare")
    def look(self) -> None:
        """Reckon; a header that is not here may have to be read."""
        try:
            machine = self.library.machine_for(**self.elsewhere)
            found = self.library.compare(self.references, self.wanted, machine)
            self.post_message(self.Compared(found))
        except Exception as error:  # noqa: BLE001 - a plugin may raise what it likes
            self.post_message(self.Failed(GemmahubError.of(error)))

    @on(Compared)
    def _compared(self, event: Compared) -> None:
        self.comparison = event.comparison
        self.query_one("#names", Flowing).show(self._names)
        self.query_one("#figures", Flowing).show(self._figures)

    @on(Failed)
    def _failed(self, event: Failed) -> None:
        text = one_line(event.error.in_full, _LONG)
        self.query_one("#figures", Flowing).show(lambda _: Content.styled(text, "$text-error"))

    def _names(self, width: int) -> Content:
        """A line for each variant, and one for the machine."""
        lines = []
        for number, reference in enumerate(self.references):
            name = one_line(reference, _LONG)
            line = Content.assemble((f"{letter(number)}  ", "bold"), (name, "bold $text-primary"))
            if self.comparison is not None:
                what = about(self.comparison.sides[number])
                line = Content.assemble(line, (f"  {what}", "$foreground-muted"))
            lines.append(line.truncate(width, ellipsis=True))
        if self.comparison is not None:
            free = Content.styled(machine_line(self.comparison), "$foreground-muted")
            lines.append(free.truncate(width, ellipsis=True))
        return Content("\n").join(lines)

    def _figures(self, width: int) -> Content:
        assert self.comparison is not None
        self._drawn = drawn(self.comparison, width)
        return Content("\n").join(self._drawn.lines)

    # --- keys ----------------------------------------------------------------------------------

    def action_copy(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)

    def action_scroll(self, lines: int) -> None:
        """Up and down."""
        self._scrolled.scroll_relative(y=lines, animate=False)

    def action_page(self, step: int) -> None:
        """A page up or down."""
        height = max(1, self._scrolled.size.height - 1)
        self._scrolled.scroll_relative(y=step * height, animate=False)

    def action_top(self) -> None:
        """To the start."""
        self._scrolled.scroll_home(animate=False)

    def action_bottom(self) -> None:
        """To the end."""
        self._scrolled.scroll_end(animate=False)

    def action_section(self, step: int) -> None:
        """To the next part, or to the one before; from the end to the start."""
        at, last = self._scrolled.scroll_offset.y, self._scrolled.max_scroll_y
        starts = self._drawn.starts
        if step > 0:
            further = [start for start in starts if start > at]
            wanted = further[0] if further and at < last else 0
        else:
            before = [start for start in starts if start < at]
            wanted = before[-1] if before else last
        self._scrolled.scroll_to(y=wanted, animate=False)

    @property
    def _scrolled(self) -> VerticalScroll:
        return self.query_one("#compare", VerticalScroll)
