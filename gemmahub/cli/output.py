"""The only module that prints, and the one place where text is stripped for it.

Data goes to standard output, everything else to standard error. Whoever calls need not know where
a text comes from: control, format and private characters of it never reach a terminal or a pipe
(:func:`gemmahub.text.strip_controls`), in JSON they are escaped. What others print is stripped by
:mod:`gemmahub.text.streams`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from gemmahub.text import StreamStripper, escape_unshown, strip_controls
from gemmahub.text.streams import unguarded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from gemmahub.errors import GemmahubError

_WIDEST = 10_000  # columns of a pipe: a row is one line


class Painted(NamedTuple):
    """A text in the colour of an SGR code, on a stream that has colours."""

    text: str
    code: str


def data(*pieces: str | Painted, end: str = "\n") -> None:
    """A piece of the answer, at once."""
    _print(sys.stdout, *pieces, end=end)


def json_data(value: Any) -> None:
    """The answer as JSON. The only place that writes JSON: nothing is lost, and nothing is raw."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    _write(sys.stdout, escape_unshown(text) + "\n")


class AnswerPrinter:
    """An answer that arrives in pieces: each is printed at once, no sequence slips in between."""

    def __init__(self) -> None:
        self._stripper = StreamStripper()

    def write(self, piece: str) -> None:
        """More of it."""
        _write(sys.stdout, self._stripper.feed(piece))

    def end(self) -> None:
        """It is complete."""
        _write(sys.stdout, self._stripper.finish() + "\n")


class ThoughtPrinter:
    """What a model thinks before it answers, on standard error: dimmed on a terminal, and left out
    in a pipe."""

    def __init__(self) -> None:
        self._stripper = StreamStripper()
        self._open = False

    def write(self, piece: str) -> None:
        """More of it."""
        if piece and shows_thoughts():
            self._open = True
            self._print(self._stripper.feed(piece))

    def end(self) -> None:
        """It is complete, or there is none."""
        if self._open:
            self._open = False
            self._print(self._stripper.finish())
            _write(sys.stderr, "\n")

    def _print(self, text: str) -> None:
        dimmed = text and _has_colours(sys.stderr)
        _write(sys.stderr, f"\x1b[2m{text}\x1b[0m" if dimmed else text)


def shows_thoughts() -> bool:
    """Whether there is a terminal for what nobody asked to be told."""
    return sys.stderr.isatty()


def note(text: str) -> None:
    """Something a person wants to know and a script does not."""
    _print(sys.stderr, text)


def warning(text: str, hint: str = "") -> None:
    """Something that is not as it should be, and what to do about it."""
    _print(sys.stderr, Painted("warning:", "33"), f" {text}")
    if hint:
        _print(sys.stderr, Painted("hint:", "36"), f" {hint}")


def error(failure: GemmahubError, *, as_json: bool) -> None:
    """A failure: what happened and what to do next."""
    if as_json:
        told = {"kind": failure.kind, "message": failure.message, "hint": failure.hint}
        json_data({"error": told})
        return
    _print(sys.stderr, Painted("error:", "31"), f" {failure.message}")
    if failure.hint:
        _print(sys.stderr, Painted("hint:", "36"), f" {failure.hint}")


def traceback(failure: BaseException) -> None:
    """Where a failure comes from, for whoever looks for a defect."""
    from traceback import format_exception

    _print(sys.stderr, *format_exception(failure), end="")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | tuple[str, ...]]],
    *,
    right: Sequence[str] = (),
) -> None:
    """Rows under headings, as wide as the terminal; one line a row when piped.

    A cell is one line, or a tuple of lines. Columns named in ``right`` hold numbers. Where the
    terminal is too narrow, lines and gaps go first, then long cells are folded.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    piped = not sys.stdout.isatty()
    width = _WIDEST if piped else None
    screen = Console(file=unguarded(sys.stdout), width=width, highlight=False)
    shown = [tuple(_cell(cell) for cell in row) for row in rows]
    needed = sum(max(map(len, cells)) + 3 for cells in zip(columns, *shown, strict=True))
    plain = piped or needed > screen.width
    view = Table(box=None if plain else box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    if plain and not piped:
        view.padding = (0, 1, 0, 0)
    for column in columns:
        align = "right" if column in right else "left"
        view.add_column(column, justify=align, overflow="fold")  # type: ignore[arg-type]
    for row in shown:
        view.add_row(*(Text(cell) for cell in row))
    screen.print(view)


def console() -> Console:
    """What rich draws progress bars with, on standard error; it strips every text of theirs."""
    from rich.console import Console
    from rich.segment import Segment

    class StrippedConsole(Console):
        def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
            for segment in super().render(*arguments, **options):
                text, style, control = segment
                yield segment if control else Segment(strip_controls(text), style)

    return StrippedConsole(file=unguarded(sys.stderr))


def paragraph(text: str, *, indent: int = 0) -> None:
    """A sentence or several, broken at the terminal's width; one line when piped."""
    lines = [strip_controls(text)]
    if sys.stdout.isatty():
        lines = textwrap.wrap(lines[0], max(20, width() - indent)) or [""]
    for line in lines:
        data(" " * indent + line)


def facts(pairs: Iterable[tuple[str, str]], *, aside: bool = False) -> None:
    """Names and values, one a line; a name that is empty continues the one above.

    ``aside``: they are not the answer, and go to standard error.
    """
    stream = sys.stderr if aside else sys.stdout
    found = [(strip_controls(name), value) for name, value in pairs if value]
    longest = max((len(name) for name, _ in found), default=0)
    for name, value in found:
        _print(stream, Painted(f"{name:<{longest}}", "1" if name else ""), f"  {_cell(value)}")


def painted(text: str, code: str) -> Painted:
    """``text`` for :func:`data` in the colour of an SGR code, where there are colours."""
    return Painted(text, code)


def width() -> int:
    """Columns of the terminal; 80 when piped."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80


def progress(text: str) -> None:
    """A line that the next one replaces; only on a terminal."""
    if sys.stderr.isatty():
        _write(sys.stderr, f"\r\x1b[K{_cell(text)}")


def loading(fraction: float) -> None:
    """How far loading a model is."""
    progress(f"loading {fraction:.0%}" if fraction < 1 else "")


def confirm(question: str) -> bool:
    """Ask on standard error; anything but y is no."""
    return (ask(f"{question} [y/N]") or "").casefold() in ("y", "yes")


def ask(question: str) -> str | None:
    """Ask on standard error; the line that was typed, None at the end of input."""
    _print(sys.stderr, question, end=" ")
    line = sys.stdin.readline()
    return line.strip() if line else None


def interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _cell(text: str | tuple[str, ...]) -> str:
    """One line, or those of a tuple: a line break in a name makes no row of its own."""
    if isinstance(text, tuple):
        return "\n".join(map(_cell, text))
    return strip_controls(text).replace("\n", " ")


def _print(stream: TextIO, *pieces: str | Painted, end: str = "\n") -> None:
    """Text of any origin: the way of all but JSON and pieces of an answer."""
    text = "".join(_painted(piece, stream) for piece in pieces)
    _write(stream, text + end)


def _painted(piece: str | Painted, stream: TextIO) -> str:
    if isinstance(piece, str):
        return strip_controls(piece)
    text = strip_controls(piece.text)
    if not piece.code or not _has_colours(stream):
        return text
    return f"\x1b[{piece.code}m{text}\x1b[0m"


def _has_colours(stream: TextIO) -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def _write(stream: TextIO, text: str) -> None:
    """Text that is harmless, with the colours of this program."""
    stream = unguarded(stream)
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()
