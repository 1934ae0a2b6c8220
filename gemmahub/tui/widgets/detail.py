"""The pane beside the table: what a variant really is, and what its settings would take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.visual import Visual

from gemmahub.engines.contract import Settings
from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.service.plans import DEFAULT_CONTEXT
from gemmahub.text import one_line
from gemmahub.text.command import command_line
from gemmahub.tui import details
from gemmahub.tui.bindings import named
from gemmahub.tui.chosen_memory import recommended_settings
from gemmahub.tui.slider import Slider
from gemmahub.tui.widgets.lines_view import LinesView

if TYPE_CHECKING:
    from textual import events
    from textual.timer import Timer

    from gemmahub.service.memory_curve import MemoryCurve
    from gemmahub.service.overview import ModelRow
    from gemmahub.service.planner import Planner

_TWO_COLUMNS = 70  # cells from which precision and plan stand side by side
_THREE_COLUMNS = 140  # the same of precision, settings and memory
_GAP = 3
_REST_SECONDS = 0.12
_CURVE_FROM, _CURVE_WIDTH = 34, 40  # lines and cells of the pane from which the curve is drawn
_CURVE_BESIDE = 13  # lines from which it is where the memory stands beside it


class DetailPane(LinesView, can_focus=True, inherit_bindings=False):
    """Precision by role, the plan with its slider, and the words to both.

    It draws its lines itself: a pane of many widgets would be laid out anew for each key. What a
    person chose with the slider stays when the cursor goes to another model, so that models can be
    held against each other at one context.
    """

    BINDINGS: ClassVar = named(
        "details",
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("pageup", "page_up", "A page up", show=False),
        Binding("pagedown", "page_down", "A page down", show=False),
        Binding("home,g", "scroll_home", "To the start", show=False),
        Binding("end,G", "scroll_end", "To the end", show=False),
    )

    cache_type: reactive[str] = reactive(USUAL_CACHE_TYPES[0], repaint=False)

    @dataclass
    class Planned(Message):
        """The command for what is shown has changed."""

        command: str

        def can_replace(self, message: Message) -> bool:
            """Only the last one is shown."""
            return isinstance(message, DetailPane.Planned)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.border_title = "Details"
        self.row: ModelRow | None = None
        self.planner: Planner | None = None
        self.reason = ""
        self.wanted: int | None = None
        self.wanted_cache: str | None = None
        self.slider: Slider | None = None
        self._lines: list[Strip] = []
        self._blank = Strip([])
        self._curve_of: tuple[Planner, str] | None = None
        self._planned_curve: MemoryCurve | None = None
        self._resting: Timer | None = None
        self._above = 0  # lines of the curve
        self._slider_at = (0, 0, 0)  # line, first cell and cells of the slider

    # --- what it shows -------------------------------------------------------------------------

    def show_row(self, row: ModelRow | None, planner: Planner | None, reason: str = "") -> None:
        """Show a model; without a planner ``reason`` says why nothing can be planned."""
        moved = row is None or self.row is None or row.variant is not self.row.variant
        self.row, self.planner, self.reason = row, planner, reason
        if moved:
            reference = row.variant.reference if row is not None else ""
            self.border_title = Content(one_line(reference) or "Details")
            self.scroll_home(animate=False, immediate=True)
        self._start_plan()
        self._show()

    @property
    def command(self) -> str:
        """What a person would type for what is shown."""
        if self.row is None:
            return ""
        row, reference = self.row, self.row.variant.reference
        if row.variant.embeds or self.planner is None:
            verb = "embed" if row.variant.embeds else "run"
            return command_line(verb if row.installed else "pull", reference)
        return self.planner.command(self.context, self.cache_type)

    @property
    def context(self) -> int:
        """Tokens that the slider is at."""
        return self.slider.value if self.slider else DEFAULT_CONTEXT

    @property
    def settings(self) -> Settings | None:
        """How a chat is loaded with what is shown; None: as the backend has it."""
        if self.planner is None:
            return None
        return Settings(
            context=self.context,
            cache_type_k=self.cache_type,
            cache_type_v=self.cache_type,
            **self.planner.placement.options,
        )

    # --- the plan ------------------------------------------------------------------------------

    def _start_plan(self) -> None:
        """The slider and the cache type as they were chosen, else as they are recommended."""
        if self.row is None or self.planner is None:
            self.slider = None
            return
        context, cache = recommended_settings(self.row, self.planner.trained_context)
        self.cache_type = self.wanted_cache or cache
        self._set_slider(context if self.wanted is None else self.wanted)

    def _set_slider(self, value: int) -> None:
        assert self.planner is not None
        steps = self.planner.steps(self.cache_type)
        largest = self.planner.largest_context(self.cache_type)
        self.slider = Slider(steps, min(value, steps[-1]), largest)

    def step_context(self, step: int) -> None:
        """More or less context."""
        if self.slider is not None:
            self._choose(self.slider.next(step))

    def _choose(self, value: int) -> None:
        if self.slider is not None and value != self.slider.value:
            self.wanted = value
            self._set_slider(value)
            self._show()

    def next_cache_type(self) -> None:
        """The next cache type."""
        if self.slider is None:
            return
        types = USUAL_CACHE_TYPES
        number = types.index(self.cache_type) if self.cache_type in types else -1
        self._choose_cache(types[(number + 1) % len(types)])

    def _choose_cache(self, name: str) -> None:
        assert self.slider is not None
        self.cache_type = self.wanted_cache = name
        self._set_slider(self.slider.value)
        self._show()

    def recommended_settings(self) -> None:
        """Back to what is recommended for each model."""
        self.wanted = self.wanted_cache = None
        self._start_plan()
        self._show()

    # --- the mouse -----------------------------------------------------------------------------

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """On the slider: go there, and follow the mouse while its button is down. On a cache type:
        take it."""
        line, start, cells = self._slider_at
        at = event.get_content_offset(self)
        if self.slider is None or at is None:
            return
        clicked = at.y + self.scroll_offset.y
        if clicked == line + 1 and (cache := details.cache_at(at.x - start)) is not None:
            self._choose_cache(cache)
        elif clicked == line and start <= at.x < start + cells:
            self.capture_mouse()
            self._choose(self.slider.at(at.x - start, cells))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Follow the mouse."""
        if self.slider is not None and self.app.mouse_captured is self:
            _, start, cells = self._slider_at
            x = event.x - self.gutter.left
            self._choose(self.slider.at(x - start, cells))

    def on_mouse_up(self) -> None:
        """Let the mouse go."""
        self.release_mouse()

    # --- drawing -------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Another width, other lines."""
        self._draw()

    def notify_style_update(self) -> None:
        """Another theme, other colours."""
        super().notify_style_update()
        self._draw()

    def _show(self) -> None:
        self._draw()
        self.post_message(self.Planned(self.command))

    def _draw(self) -> None:
        width = self.scrollable_content_region.width
        self._lines = self._drawn(width) if width > 0 and self.row is not None else []
        style = self.rich_style
        self._blank = Strip.blank(width, style)
        self._lines = [line.adjust_cell_length(width, style) for line in self._lines]
        self.set_height(len(self._lines))
        self.refresh()

    def _drawn(self, width: int) -> list[Strip]:
        """All lines: a title, precision and plan beside or below each other, the words."""
        row = self.row
        assert row is not None
        lines = self._strips(details.title(row, width), width)
        count = 3 if width >= _THREE_COLUMNS else 2 if width >= _TWO_COLUMNS else 1
        cells = (width - (count - 1) * _GAP) // count
        precision = self._strips(details.precision(row, cells), cells)
        settings, memory, notes = self._plan(row, cells)
        start = 0 if count == 1 else cells + _GAP
        above = len(lines) + (len(precision) + 1 if count == 1 else 0)
        self._slider_at = (above + self._above, start, cells)
        if count == 1:
            lines += [*precision, Strip([]), *settings, *memory]
        elif count == 2:
            lines += self._beside(precision, [*settings, *memory], cells)
        else:
            both = self._beside(precision, settings, cells)
            lines += self._beside(both, memory, 2 * cells + _GAP)
        return [*lines, Strip([]), *self._strips(details.words(row, notes), width)]

    def _plan(self, row: ModelRow, width: int) -> tuple[list[Strip], list[Strip], tuple[str, ...]]:
        """Lines of the curve with its slider and the cache types, lines of the memory, and notes;
        in place of them why there is no plan."""
        slider, planner = self.slider, self.planner
        self._above = 0
        if slider is None or planner is None:
            return self._strips(details.no_plan(row, self.reason), width), [], ()
        # By formula a plan takes well under a millisecond, so it is made right here.
        made = planner.plan(slider.value, self.cache_type)
        above = self._curve(slider, width)
        self._above = len(above)
        caches = details.caches(made.largest_context, self.cache_type)
        settings = [
            *above,
            *self._strips(slider.line(width), width),
            *self._strips(caches, width),
        ]
        return settings, self._strips(details.memory(made, width), width), made.notes

    def _curve(self, slider: Slider, width: int) -> list[Strip]:
        """Memory against context, where the pane has room for it. Moving along it plans nothing."""
        least = _CURVE_BESIDE if self.size.width >= _THREE_COLUMNS else _CURVE_FROM
        if self.size.height < least or width < _CURVE_WIDTH or self.planner is None:
            return []
        if self._curve_of != (self.planner, self.cache_type) or self._planned_curve is None:
            if self._resting is not None:
                self._resting.stop()
            self._resting = self.set_timer(_REST_SECONDS, self.plan_curve)
            return [Strip([])] * details.CURVE_LINES
        found = details.curve(self._planned_curve, slider, self.cache_type, width)
        return self._strips(found, width)

    def plan_curve(self) -> None:
        """Plan the curve of what is shown, once the cursor rests: dozens of plans are too much for
        a key that is held down."""
        from gemmahub.service.memory_curve import memory_curve

        if self.planner is not None and self._curve_of != (self.planner, self.cache_type):
            self._curve_of = (self.planner, self.cache_type)
            self._planned_curve = memory_curve(self.planner, self.cache_type)
            self._draw()

    def _strips(self, content: Content, width: int) -> list[Strip]:
        return Visual.to_strips(self, content, width, None, self.visual_style)

    def _beside(self, left: list[Strip], right: list[Strip], width: int) -> list[Strip]:
        count = max(len(left), len(right))
        style = self.rich_style
        return [
            Strip.join(
                [
                    (left[n] if n < len(left) else Strip([])).adjust_cell_length(
                        width + _GAP, style
                    ),
                    right[n] if n < len(right) else Strip([]),
                ]
            )
            for n in range(count)
        ]

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        number = y + self.scroll_offset.y
        return self._lines[number] if number < len(self._lines) else self._blank
