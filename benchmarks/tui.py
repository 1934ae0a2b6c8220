"""The library screen: first paint, and what a key costs with 5,000 models or with a plan to redraw.

All of it is timed in the real program on a pseudo-terminal, as a person has it. First paint: from
the start of the program to its first frame, against an interpreter that only imports Textual. A
key: from writing it into the terminal until the last piece of what it changes was drawn.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from benchmarks.terminal import Terminal
from gemmahub.service import Library

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.service.overview import ModelOverview

ROWS: Final = 5000
ROUNDS: Final = 7
KEYS: Final = 60
SIZES: Final = ((80, 24), (160, 48))
DOWN, PAGE_DOWN, LEFT, RIGHT = b"\x1b[B", b"\x1b[6~", b"\x1b[D", b"\x1b[C"
END, HOME, BACKSPACE = b"\x1b[F", b"\x1b[H", b"\x7f"


def imported() -> float:
    """Wall time of an interpreter that imports Textual's application."""
    started = perf_counter()
    subprocess.run([sys.executable, "-c", "import textual.app"], check=True)
    return perf_counter() - started


def painted(size: tuple[int, int]) -> tuple[float, float]:
    """From the start of the program to its first frame, and to the first model in its table."""
    started = perf_counter()
    terminal = Terminal([sys.executable, "-m", "gemmahub"], {}, size)
    try:
        terminal.read_until(b"looking round")
        first = perf_counter() - started
        terminal.read_until(b"gemma-4")
        return first, perf_counter() - started
    finally:
        terminal.close()


def many_models(whole: Callable[..., ModelOverview]) -> Callable[..., ModelOverview]:
    """The overview with the catalogue many times over."""

    def overview(*arguments: Any, **options: Any) -> ModelOverview:
        found = whole(*arguments, **options)
        rows = [
            replace(
                row,
                variant=replace(row.variant, reference=f"{row.variant.reference}-{number:04}"),
                model=f"{row.model}-{number // 40}",
            )
            for number, row in zip(
                range(ROWS), found.rows * (ROWS // len(found.rows) + 1), strict=False
            )
        ]
        return replace(found, rows=tuple(rows))

    return overview


def typed(terminal: Terminal, keys: list[bytes]) -> list[tuple[float, float]]:
    """Milliseconds for each key, until the screen begins to show it and until it shows all."""
    found = []
    for key in keys:
        started = perf_counter()
        terminal.write(key)
        first, last = terminal.drawn(started)
        if last:  # a key that changes nothing is not told from one that is lost
            found.append((first * 1000, last * 1000))
    return found


def line(name: str, found: list[tuple[float, float]]) -> None:
    """Median and 95th percentile until the first output, and until the last one."""
    figures = [f"{name:<26}{len(found):5}"]
    for times in zip(*found, strict=True):
        p95 = sorted(times)[int(len(times) * 0.95)]
        figures.append(f"{statistics.median(times):8.1f} {p95:5.1f}")
    print("  " + "  ".join(figures))


def keys(size: tuple[int, int]) -> None:
    """Keys with many models, and in the plan."""
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(
            [sys.executable, "-m", "benchmarks.tui", "--child"], {"GEMMAHUB_DATA": folder}, size
        )
        try:
            terminal.read_until(b"5,000 variants")
            terminal.drawn(perf_counter())
            print(
                f"{size[0]}x{size[1]}, {ROWS:,} rows".ljust(28)
                + " keys  first answer p95  all drawn p95, ms"
            )
            line("cursor down", typed(terminal, [DOWN] * KEYS))
            line("page down", typed(terminal, [PAGE_DOWN] * KEYS))
            line("to the end, to the start", typed(terminal, [END, HOME] * (KEYS // 2)))
            line("context slider", typed(terminal, [LEFT, RIGHT, RIGHT, LEFT] * 10))
            line("cache type", typed(terminal, [b"t"] * 12))
            typed(terminal, [b"/"])
            letters = [bytes([letter]) for letter in b"q4_0 gemma-4"]
            line("filter, a letter", typed(terminal, [*letters, *[BACKSPACE] * 12] * 3))
            typed(terminal, [b"\r"])
            line("sort by the next column", typed(terminal, [b"s"] * 10))
            line("group by model, and not", typed(terminal, [b"m"] * 10))
        finally:
            terminal.close()


def child() -> None:
    """The program in the terminal."""
    from gemmahub.service import overview
    from gemmahub.tui.app import GemmahubApp

    reading = overview.LibraryReading
    reading.overview = many_models(reading.overview)  # type: ignore[method-assign]
    GemmahubApp(Library()).run()


def main() -> None:
    """Measure and print, or be what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().child:
        child()
        return
    base = statistics.median(imported() for _ in range(ROUNDS))
    print(f"python -c 'import textual.app'       {base:.2f} s")
    for size in SIZES:
        rounds = [painted(size) for _ in range(ROUNDS)]
        first, rows = (statistics.median(times) for times in zip(*rounds, strict=True))
        name = f"{size[0]}x{size[1]}"
        print(f"first frame, {name}".ljust(37) + f"{first:.2f} s, {first - base:+.2f} s")
        print(f"models in the table, {name}".ljust(37) + f"{rows:.2f} s")
    for size in SIZES:
        keys(size)


if __name__ == "__main__":
    main()
