"""The only module that prints. Data goes to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, TextIO

from gemmahub.text import strip_controls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.errors import GemmahubError


def data(text: str, end: str = "\n") -> None:
    """A piece of the answer, at once."""
    _write(sys.stdout, text + end)


def json_data(value: Any) -> None:
    """The answer as JSON."""
    data(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def note(text: str) -> None:
    """Something a person wants to know and a script does not."""
    _write(sys.stderr, strip_controls(text) + "\n")


def warning(text: str) -> None:
    """Something that is not as it should be."""
    note(_paint("warning: ", "33") + strip_controls(text))


def error(failure: GemmahubError, *, as_json: bool) -> None:
    """A failure: what happened and what to do next."""
    message, hint = strip_controls(failure.message), strip_controls(failure.hint)
    if as_json:
        json_data({"error": {"kind": failure.kind, "message": message, "hint": hint}})
        return
    _write(sys.stderr, f"{_paint('error:', '31')} {message}\n")
    if hint:
        _write(sys.stderr, f"{_paint('hint:', '36')} {hint}\n")


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Rows under headings, as wide as the terminal; one line a row when piped.

    Columns named in ``right`` hold numbers. Where the terminal is too narrow, lines and gaps go
    first, then long cells are folded.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    piped = not sys.stdout.isatty()
    console = Console(file=sys.stdout, width=10_000 if piped else None, highlight=False)
    rows = [tuple(strip_controls(cell) for cell in row) for row in rows]
    needed = sum(max(map(len, cells)) + 3 for cells in zip(columns, *rows, strict=True))
    plain = piped or needed > console.width
    view = Table(box=None if plain else box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    if plain and not piped:
        view.padding = (0, 1, 0, 0)
    for column in columns:
        align = "right" if column in right else "left"
        view.add_column(column, justify=align, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        view.add_row(*(Text(cell) for cell in row))
    console.print(view)


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
    found = [(name, strip_controls(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in found), default=0)
    for name, value in found:
        label = _paint(f"{name:<{width}}", "1", stream) if name else " " * width
        _write(stream, f"{label}  {value}\n")


def painted(text: str, code: str) -> str:
    """``text`` for :func:`data` in the colour of an SGR code, or as it is (pipe, NO_COLOR)."""
    return _paint(text, code, sys.stdout)


def width() -> int:
    """Columns of the terminal; 80 when piped."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80


def progress(text: str) -> None:
    """A line that the next one replaces; only on a terminal."""
    if sys.stderr.isatty():
        _write(sys.stderr, f"\r\x1b[K{strip_controls(text)}")


def loading(fraction: float) -> None:
    """How far loading a model is."""
    progress(f"loading {fraction:.0%}" if fraction < 1 else "")


def confirm(question: str) -> bool:
    """Ask on standard error; anything but y is no."""
    _write(sys.stderr, f"{strip_controls(question)} [y/N] ")
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


def interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _paint(text: str, code: str, stream: TextIO | None = None) -> str:
    stream = stream or sys.stderr
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()
