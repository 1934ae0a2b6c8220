"""Results of speed as tables: for people, as CSV and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.text import format_gib, one_line, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gemmahub.measurements.records import SpeedResult, Spread

COLUMNS: Final = ("depth", "prefill tokens/s", "decode tokens/s", "first token")
_CSV: Final = (
    "reference", "precision", "engine", "build", "machine", "place", "parallel", "depth",
    *(f"{what}_{of}" for what in ("prefill", "decode", "first_token_seconds")
      for of in ("median", "low", "high", "runs")),
    "load_seconds", "planned_bytes", "engine_bytes", "process_bytes", "devices_bytes", "doubts",
)  # fmt: skip


def speed_rows(result: SpeedResult) -> list[tuple[str, ...]]:
    """A row for each depth, by ``COLUMNS``."""
    return [
        (
            f"{each.depth:,}",
            rate_text(each.prefill),
            rate_text(each.decode),
            seconds_text(each.first_token_seconds),
        )
        for each in result.depths
    ]


def speed_facts(result: SpeedResult) -> list[tuple[str, str]]:
    """What else was measured, and under which conditions."""
    memory, conditions = result.memory, result.conditions
    seen = (("engine", memory.engine), ("process", memory.process), ("devices", memory.devices))
    taken = ", ".join(f"{name} {format_gib(size)}" for name, size in seen if size is not None)
    planned = "" if memory.planned is None else f"plan {format_gib(memory.planned)}"
    where = {"cpu": "processor", "gpu": "GPU", "split": "GPU and processor"}[conditions.place]
    return [
        ("model", f"{result.model.reference} ({result.model.precision})"),
        ("engine", f"{conditions.build} on the {where}"),
        ("machine", conditions.machine),
        ("together", f"{result.parallel} conversations" if result.parallel > 1 else ""),
        ("load", seconds_text(result.load_seconds)),
        ("memory", ", ".join(filter(None, (planned, taken)))),
    ]


def rate_text(found: Spread | None) -> str:
    """``512 (498 to 530)``: the median, and the lowest and highest of the runs."""
    if found is None:
        return "-"
    middle = _number(found.median)
    return (
        middle if found.runs == 1 else f"{middle} ({_number(found.low)} to {_number(found.high)})"
    )


def seconds_text(found: Spread | None) -> str:
    """``1.52 s``."""
    if found is None:
        return "-"
    return f"{found.median:.3f} s" if found.median < 1 else f"{found.median:.2f} s"


def _number(rate: float) -> str:
    return f"{rate:,.2f}" if rate < 10 else f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def as_csv(results: Iterable[SpeedResult]) -> str:
    """A line for each depth, with the names of the columns first."""
    return rows.as_csv(_CSV, (row for result in results for row in _csv_rows(result)))


def _csv_rows(result: SpeedResult) -> Iterator[list[str | int | None]]:
    conditions, memory, load = result.conditions, result.memory, result.load_seconds
    for each in result.depths:
        measured = (each.prefill, each.decode, each.first_token_seconds)
        yield [
            *(result.model.reference, result.model.precision),
            *(conditions.engine, conditions.build, conditions.machine, conditions.place),
            result.parallel,
            each.depth,
            *(figure for found in measured for figure in _figures(found)),
            "" if load is None else f"{load.median:.6g}",
            *(memory.planned, memory.engine, memory.process, memory.devices),
            "; ".join(conditions.doubts),
        ]


def _figures(found: Spread | None) -> tuple[str, ...]:
    if found is None:
        return ("",) * 4
    return (f"{found.median:.6g}", f"{found.low:.6g}", f"{found.high:.6g}", str(found.runs))


def as_markdown(results: Sequence[SpeedResult]) -> str:
    """A table of all depths, and below it where and how each model was measured."""
    lines = [_markdown_row(("model", "precision", *COLUMNS)), _markdown_row(("---",) * 6)]
    for result in results:
        model = (result.model.reference, result.model.precision)
        lines += [_markdown_row((*model, *row)) for row in speed_rows(result)]
    for result in results:
        facts = [f"{name}: {text}" for name, text in speed_facts(result) if text][1:]
        doubts = [f"doubtful: {doubt}" for doubt in result.conditions.doubts]
        lines += ["", f"- {_cell(result.model.reference)}: {_cell('; '.join(facts + doubts))}"]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return one_line(text, 4096).replace("\\", "\\\\").replace("|", "\\|")
