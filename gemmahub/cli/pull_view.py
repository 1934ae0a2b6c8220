"""How far a download is, on standard error: bars on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from gemmahub.cli import output
from gemmahub.errors import DoesNotFit
from gemmahub.text import format_bytes, one_line, percent

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from gemmahub.planning.fit import Fit
    from gemmahub.service import PullPlan
    from gemmahub.service.progress import OnPullProgress, Progress

_LINE_SECONDS: Final = 5.0
_NAME: Final = 30
_WORDS: Final = {"waiting": "waiting for", "fetching": "fetching", "verifying": "verifying"}


def disk_text(plan: PullPlan) -> str:
    """Whether there is room on the disk."""
    if plan.free_bytes is None:
        return "free space unknown"
    short = f": {format_bytes(plan.short_bytes)} short" if plan.short_bytes else ""
    return f"{format_bytes(plan.free_bytes)} free{short}"


def fit_text(fit: Fit) -> str:
    """Whether it fits in memory."""
    if fit.fits is None:
        return f"cannot tell whether it fits: {fit.reason}"
    return f"{fit.short} tokens" if fit.fits else f"{fit.short}: {fit.reason}"


def agree(plan: PullPlan, reference: str, *, yes: bool) -> None:
    """Asks where the model will not fit in memory.

    Raises: DoesNotFit where nobody can be asked, or says no.
    """
    if yes or plan.fit.fits is not False:
        return
    what = "will not fit in free memory" if plan.fit.loadable else "cannot be run here"
    message = f"{plan.variant.reference} {what}: {plan.fit.reason}"
    hint = f"gemmahub pull {reference} --yes downloads it anyway; see also gemmahub recommend"
    if not output.interactive() or not output.confirm(f"{message}. Download it anyway?"):
        raise DoesNotFit(message, hint)


class Watched:
    """Remembers the last record, for what is said at the end."""

    def __init__(self) -> None:
        self.last: Progress | None = None

    def through(self, show: OnPullProgress) -> OnPullProgress:
        """``show``, remembering what goes through."""

        def both(progress: Progress) -> None:
            self.last = progress
            show(progress)

        return both

    @property
    def kept(self) -> str:
        """What of the download is here."""
        if self.last is None:
            return "nothing has been downloaded yet"
        done, whole = format_bytes(self.last.all_done_bytes), format_bytes(self.last.all_bytes)
        return f"{done} of {whole} are downloaded and kept"


class View:
    """Draws :class:`~gemmahub.service.progress.Progress` records; a context manager."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + _LINE_SECONDS
        self._bars: Any = None
        self._file: Any = None
        self._whole: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bars = _bars()
            self._bars.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, progress: Progress) -> None:
        """The latest record."""
        if self._bars is not None:
            self._draw(progress)
        elif self._clock() >= self._next and progress.phase != "ready":
            self._next = self._clock() + _LINE_SECONDS
            output.note(line_of(progress))

    def _draw(self, progress: Progress) -> None:
        if self._file is None:
            self._file = self._bars.add_task("", total=progress.size, figures="")
            if progress.files > 1:
                self._whole = self._bars.add_task("all files", total=1, figures="")
        word = _WORDS.get(progress.phase, "")
        self._bars.update(
            self._file,
            description=f"{word} {_short(progress.file)}".strip(),
            total=progress.size,
            completed=progress.done_bytes,
            figures=_figures(progress.done_bytes, progress.size, progress, progress.seconds_left),
        )
        if self._whole is not None:
            done, size = progress.all_done_bytes, progress.all_bytes
            left = progress.all_seconds_left
            figures = _figures(done, size, None, left)
            self._bars.update(self._whole, total=size, completed=done, figures=figures)


def line_of(progress: Progress) -> str:
    """A record as one line: ``fetching g-Q4_0.gguf: 12%, 1.9 of 15.6 GB, 85.0 MB/s, 2:41 left``."""
    word = _WORDS.get(progress.phase, "ready")
    share = percent(progress.done_bytes / progress.size) if progress.size else "100%"
    figures = _figures(progress.done_bytes, progress.size, progress, progress.seconds_left)
    line = f"{word} {one_line(progress.file, 80)}: {share}, {figures}"
    if progress.files > 1:
        done, size = format_bytes(progress.all_done_bytes), format_bytes(progress.all_bytes)
        line += f"; total {done} of {size}"
        if progress.all_seconds_left is not None:
            line += f", {_time(progress.all_seconds_left)} left"
    return line


def _figures(done: int, size: int, rated: Progress | None, left: float | None) -> str:
    parts = [f"{format_bytes(done)} of {format_bytes(size)}"]
    if rated is not None and rated.bytes_per_second:
        parts.append(f"{format_bytes(int(rated.bytes_per_second))}/s")
    if left is not None:
        parts.append(f"{_time(left)} left")
    return ", ".join(parts)


def _time(seconds: float) -> str:
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def _short(name: str) -> str:
    name = one_line(name.rpartition("/")[2], 200)
    return name if len(name) <= _NAME else f"…{name[-_NAME + 1 :]}"


def _bars() -> Any:
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[figures]}", markup=False),
        console=output.console(),
        expand=True,
        transient=True,
    )
