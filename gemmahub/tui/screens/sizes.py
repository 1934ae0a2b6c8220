"""Size against quality: every variant a dot, the best of each size with its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from gemmahub.service.size_quality import (
    LEGEND,
    MEASURES,
    best_of_their_size,
    by_size,
    described,
    measures_of,
    size_plot,
)
from gemmahub.text import one_line
from gemmahub.text.command import command_line
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import copy_command
from gemmahub.tui.details import DOT_STYLES
from gemmahub.tui.sort_filter import short_reference
from gemmahub.tui.widgets.flowing import Flowing
from gemmahub.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from gemmahub.service.size_quality import QualityMeasure, SizedVariant

_LONG = 400


class DotField(Flowing):
    """The plot, as large as there is room for; a click takes the nearest dot."""

    def on_click(self, event: events.Click) -> None:
        """Take what is there."""
        screen = self.screen
        if isinstance(screen, SizesScreen):
            screen.take(event.x, event.y)


class SizesScreen(Screen[str | None]):
    """The variants of the library by size and quality; Enter goes to one of them there.

    The result is the reference of the variant that was taken, None for none.
    """

    AUTO_FOCUS = ""
    BINDINGS: ClassVar = named(
        "sizes",
        Binding("right,l", "step(1)", "Larger", key_display="→"),
        Binding("left,h", "step(-1)", "Smaller", key_display="←"),
        Binding("up,k", "step_best(1)", "Best of its size", key_display="↑↓"),
        Binding("down,j", "step_best(-1)", "Best of its size, smaller", show=False),
        Binding("t", "measure", "Measure"),
        Binding("enter", "take", "Show it"),
        Binding("y", "copy", "Copy", show=False),
        Binding("escape,P", "dismiss(None)", "Back"),
    )

    def __init__(self, variants: Sequence[SizedVariant], chosen: str = "") -> None:
        """``chosen`` is the reference of the dot that is marked first."""
        super().__init__()
        self.variants = tuple(variants)
        self.measures = measures_of(self.variants) or MEASURES[:1]
        self.measure: QualityMeasure = self.measures[0]
        self.chosen = chosen
        self._settle()

    def compose(self) -> ComposeResult:
        """What is drawn, the plot, the chosen dot in words."""
        yield Flowing(id="about")
        yield DotField(id="dots")
        yield Flowing(id="chosen")
        yield Static(f"$ {self.command}", id="command", markup=False)
        yield StatusLine()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Draw."""
        self.query_one("#about", Flowing).show(self._about)
        self.query_one("#dots", DotField).show(self._dots)
        self.query_one("#chosen", Flowing).show(self._chosen_in_words)

    @on(events.Resize)
    def _resized(self) -> None:
        self.call_after_refresh(self._redraw)  # the plot is as tall as there is room

    @property
    def command(self) -> str:
        """What shows the same outside of here."""
        return command_line("list", all=True, plot=True)

    @property
    def shown(self) -> list[SizedVariant]:
        """The variants with a figure, the smallest first."""
        return by_size(self.variants, self.measure)

    def take(self, x: int, y: int) -> None:
        """Mark the dot nearest to a cell of the plot, where one is near."""
        plot, shown = size_plot(self.variants, self.measure, self.chosen, short_reference)
        field = self.query_one("#dots", DotField)
        number = plot.nearest(x, y, field.content_size.width, field.content_size.height)
        if number is not None:
            self._mark(shown[number].reference)

    # --- what is drawn -------------------------------------------------------------------------

    def _about(self, width: int) -> Content:
        first = f"Size against {self.measure.name}: {self.measure.about}"
        return Content("\n").join(
            [
                Content.styled(first, "bold").truncate(width, ellipsis=True),
                Content.styled(LEGEND, "$foreground-muted").truncate(width, ellipsis=True),
            ]
        )

    def _dots(self, width: int) -> Content:
        height = self.query_one("#dots", DotField).size.height
        plot, shown = size_plot(self.variants, self.measure, self.chosen, short_reference)
        if not shown:
            text = "No variant has a figure yet: gemmahub quality measures one."
            return Content.styled(text, "$foreground-muted")
        lines = [
            Content.assemble(*((text, DOT_STYLES.get(style, "")) for text, style in row))
            for row in plot.rows(width, max(3, height))
        ]
        return Content("\n").join(lines)

    def _chosen_in_words(self, width: int) -> Content:
        found = next((v for v in self.shown if v.reference == self.chosen), None)
        if found is None:
            return Content("")
        text = one_line(described(found, self.measure), _LONG)
        if self.chosen in best_of_their_size(self.variants, self.measure):
            text += ", the best of its size"
        return Content.styled(text, "bold $text-primary").truncate(width, ellipsis=True)

    def _redraw(self) -> None:
        for name in ("#about", "#dots", "#chosen"):
            self.query_one(name, Flowing).redraw()

    # --- keys ----------------------------------------------------------------------------------

    def action_step(self, step: int) -> None:
        """To the next dot by size."""
        self._step([v.reference for v in self.shown], step)

    def action_step_best(self, step: int) -> None:
        """To the next of those that are the best of their size."""
        best = best_of_their_size(self.variants, self.measure)
        self._step([v.reference for v in self.shown if v.reference in best], step)

    def action_measure(self) -> None:
        """Another figure of quality, where there is one."""
        number = self.measures.index(self.measure)
        self.measure = self.measures[(number + 1) % len(self.measures)]
        if len(self.measures) == 1:
            self.notify("no other figure: gemmahub quality measures divergence", markup=False)
        self._settle()
        self._redraw()

    def action_take(self) -> None:
        """Back to the library, with the cursor on this variant."""
        self.dismiss(self.chosen or None)

    def action_copy(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)

    def _step(self, references: list[str], step: int) -> None:
        if not references:
            return
        if self.chosen in references:
            place = references.index(self.chosen) + step
            self._mark(references[min(len(references) - 1, max(0, place))])
            return
        sizes = {v.reference: v.size_bytes for v in self.variants}
        here = sizes.get(self.chosen, 0)
        beyond = [r for r in references if (sizes[r] - here) * step >= 0]
        self._mark((beyond[0] if step > 0 else beyond[-1]) if beyond else references[-1])

    def _mark(self, reference: str) -> None:
        self.chosen = reference
        self._redraw()

    def _settle(self) -> None:
        """Mark a dot that is there."""
        references = [variant.reference for variant in self.shown]
        if references and self.chosen not in references:
            self.chosen = references[0]
