"""The two lines that a chat always shows: what answers, and how it goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from gemmahub.text import format_rate, one_line

if TYPE_CHECKING:
    from textual import events
    from textual.app import RenderResult

    from gemmahub.conversations import AnswerDelta, Timings
    from gemmahub.service import Running

WARN_SHARE = 0.8
"""From this part of the context on, a reader should be told that it fills up."""

_CHARACTERS_PER_TOKEN = 4  # a rough measure, until the engine has counted
_BAR_CELLS = 10
_LEAST_NAME = 10  # cells of a model's name that are worth showing
_READING = "reading the prompt"
_PARTS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Names:
    """What answers, as parts of a title. ``label`` and ``bits`` are short for ``precision``."""

    model: str
    precision: str = ""
    label: str = ""
    bits: str = ""
    engine: str = ""
    device: str = ""

    def fitted(self, width: int) -> str:
        """All of it where there is room; the precision is the last thing to go, and before that a
        long name of a model is cut."""
        where = f"{self.engine} on {self.device}" if self.device else self.engine
        short = " ".join(part for part in (self.label, self.bits) if part) or self.precision
        label, name = self.label or short, self.engine.split(" ")[0]
        choices = (
            (self.model, self.precision, where),
            (self.model, self.precision, self.engine),
            (self.model, self.precision, name),
            (self.model, short, where),
            (self.model, short, self.engine),
            (self.model, short, name),
            (self.model, label, name),
        )
        lines = [_joined(*parts) for parts in choices]
        for rest in filter(None, (_joined(label, name), label)):
            room = width - cell_len(_joined(" ", rest)) + 1
            if room >= _LEAST_NAME:
                lines.append(_joined(_cut(self.model, room), rest))
        lines.append(label or self.model)
        return next((line for line in lines if cell_len(line) <= width), lines[-1])


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _cut(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, cells - 1).rstrip() + "…"


def names_of(running: Running) -> Names:
    """What is told of a loaded model."""
    info, report = running.session.info, running.variant.precision
    return Names(
        model=running.variant.name,
        precision=report.summary,
        label=report.label or "",
        bits=f"{report.bits_per_weight:.2f} bits/weight" if report.bits_per_weight else "",
        engine=info.engine,
        device=info.device,
    )


class ChatTitle(Static):
    """Model, precision and engine in one line, whatever the width."""

    DEFAULT_CSS = """
    ChatTitle {
        height: 1;
        padding: 0 1;
        background: $panel;
        color: $text;
        text-style: bold;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    names: reactive[Names] = reactive(Names(""))
    speed: reactive[str] = reactive("")
    """How fast it answers, at the right; empty where that is said elsewhere."""

    def render(self) -> RenderResult:
        width = max(self.size.width - 2, 1)
        room = width - cell_len(self.speed) - 1 if self.speed else width
        if room < _LEAST_NAME:  # the precision goes before the speed
            return Content(one_line(self.names.fitted(width)))
        shown = one_line(self.names.fitted(room))
        return Content(f"{set_cell_size(shown, room)} {self.speed}" if self.speed else shown)

    def on_resize(self, event: events.Resize) -> None:
        """Another width holds other parts."""
        self.refresh()


@dataclass(frozen=True, slots=True)
class Figures:
    """How an answer goes. ``context_used`` of ``context`` tokens; 0 of 0 is not known yet.
    ``about``: tokens are counted as they come, the engine has not said yet how many there are."""

    speed: float | None = None
    first_token: float | None = None
    context_used: int = 0
    context: int = 0
    about: bool = False
    waiting: str = ""

    @property
    def share(self) -> float:
        """Used part of the context, 0 to 1."""
        return min(self.context_used / self.context, 1.0) if self.context else 0.0

    @property
    def nearly_full(self) -> bool:
        """Whether the reader should be warned."""
        return bool(self.context) and self.share >= WARN_SHARE

    def texts(self) -> list[str]:
        """Speed, first token and context in words, each from long to short."""
        speed = "- tokens/s" if self.speed is None else format_rate(self.speed)
        first = "" if self.first_token is None else f"first token {self.first_token:.2f} s"
        return [part for part in (self.waiting or speed, first) if part]

    def context_text(self, *, short: bool = False) -> str:
        """The context in words; how much is left once that matters."""
        if not self.context:
            return ""
        about = "~" if self.about else ""
        used = f"{about}{self.context_used:,}"
        if short:
            return f"{self.share:.0%} full" if self.nearly_full else f"context {self.share:.0%}"
        if self.nearly_full:
            left = max(self.context - self.context_used, 0)
            return f"context {self.share:.0%} full: {about}{left:,} of {self.context:,} left"
        return f"context {used} of {self.context:,} ({self.share:.0%})"


class ChatFigures(Static):
    """Tokens a second, time to the first token, and the context as a bar with words."""

    DEFAULT_CSS = """
    ChatFigures {
        height: 1;
        padding: 0 1;
        color: $text-muted;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        &.-full { color: $text-warning; text-style: bold; }
    }
    """

    figures: reactive[Figures] = reactive(Figures())
    _since = 0.0  # when the prompt that is read was handed over
    _before = 0  # tokens of the context that were taken before the answer
    _read = ""  # how much of the prompt is read, where the engine says it
    _warned = False

    def opened(self, context_used: int | None, context: int | None) -> None:
        """Another conversation is shown."""
        self.figures = Figures(context_used=context_used or 0, context=context or 0)
        self._warned = False

    def on_mount(self) -> None:
        """A clock that runs while a prompt is read."""
        self._clock = self.set_interval(1.0, self._tick, pause=True)

    def wait(self) -> None:
        """A prompt is being read from now on."""
        self._since, self._read = monotonic(), ""
        self.change(waiting=_READING, first_token=None)
        self._clock.resume()

    def waited(self) -> None:
        """It was read, or nobody waits for it any more."""
        self._clock.pause()
        self.change(waiting="")

    def _tick(self) -> None:
        if self.figures.waiting:
            self.change(waiting=f"{_READING}{self._read}, {monotonic() - self._since:.0f} s")

    def change(self, **values: Any) -> None:
        """Other values of some fields of :class:`Figures`."""
        self.figures = replace(self.figures, **values)

    def started(self, question: str) -> None:
        """The prompt is read now."""
        self._before = self.figures.context_used + len(question) // _CHARACTERS_PER_TOKEN
        self.change(context_used=self._before, about=True)

    def count(self, delta: AnswerDelta) -> None:
        """The answer has come so far, or the prompt is read so far."""
        if delta.prompt_read is not None:
            done = delta.prompt_read
            self._read = f" {done.read:,}/{done.total:,} tokens"
            self._before = done.total
            self.change(context_used=done.total)
            self._tick()
            return
        seconds = delta.seconds - delta.first_token_seconds
        self.change(
            waiting="",
            speed=(delta.tokens - 1) / seconds if seconds > 0.2 else self.figures.speed,
            first_token=delta.first_token_seconds or None,
            context_used=min(self._before + delta.tokens, self.figures.context or 1 << 60),
        )

    def finished(self, timings: Timings) -> None:
        """The engine has counted; a reader is warned of what an answer did not see."""
        said = (timings.prompt_tokens or 0) + (timings.tokens or 0)
        figures = self.figures = Figures(
            speed=timings.tokens_per_second,
            first_token=timings.first_token_seconds or None,
            context_used=said if timings.context_used is None else timings.context_used,
            context=timings.context or 0,
            about=timings.context_used is None,
        )
        if timings.truncated:
            text = "The prompt was longer than the context: its beginning was left out."
            self.notify(text, severity="warning", timeout=10)
        if figures.nearly_full and not self._warned:
            self._warned = True
            text = (
                f"{figures.context_text().capitalize()}. Begin a new chat with Ctrl+N, or load the "
                "model with a larger context: Ctrl+S."
            )
            self.notify(text, title="The context fills up", severity="warning", timeout=10)

    def watch_figures(self, figures: Figures) -> None:
        """A context that fills up is told in words, and in colour besides."""
        self.set_class(figures.nearly_full, "-full")

    def render(self) -> RenderResult:
        width = max(self.size.width - 2, 1)
        figures = self.figures
        parts, bar = figures.texts(), bar_text(figures.share)
        full, short = figures.context_text(), figures.context_text(short=True)
        choices = [
            [*parts, f"{bar} {full}" if full else ""],
            [*parts, full],
            [*parts[:1], full],
            [*parts[:1], short],
            [short or parts[0]],
        ]
        lines = [" · ".join(part for part in line if part) for line in choices]
        shown = next((line for line in lines if Content(line).cell_length <= width), lines[-1])
        return Content(shown)

    def on_resize(self, event: events.Resize) -> None:
        """Another width holds other parts."""
        self.refresh()


def bar_text(share: float, cells: int = _BAR_CELLS) -> str:
    """A bar of whole and partial blocks between two bounds."""
    eighths = round(min(max(share, 0.0), 1.0) * cells * 8)
    if share > 0:
        eighths = max(eighths, 1)
    whole, part = divmod(eighths, 8)
    filled = "█" * whole + (_PARTS[part] if part else "")
    return f"▕{filled:<{cells}}▏"
