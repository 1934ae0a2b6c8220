"""What Textual's own table costs with as many rows as the library has to show.

    python -m benchmarks.data_table

Processor time to fill a ``DataTable`` with 5,000 rows of nine columns, to sort it and to move its
cursor. ``docs/decisions/model-table.md`` has the figures and what they decided.
"""

from __future__ import annotations

import asyncio
from statistics import median
from time import process_time
from typing import TYPE_CHECKING

from textual.app import App
from textual.widgets import DataTable

if TYPE_CHECKING:
    from textual.app import ComposeResult

ROWS = 5000
COLUMNS = "rank", "model", "precision", "bits", "quality", "tokens/s", "memory", "context", "where"


class TableApp(App[None]):
    """One table, and nothing else."""

    def compose(self) -> ComposeResult:
        yield DataTable()


def cells(number: int) -> tuple[str, ...]:
    """A row like one of the library's."""
    return (
        str(number), f"gemma-3-{number}b-it:q4_0", "Q4_0 int4 QAT", "4.57", "77.8", "15 to 36",
        "12.3 GiB", "131,072", "here",
    )  # fmt: skip


async def measure() -> None:
    """Prints milliseconds of processor time."""
    app = TableApp()
    rows = [cells(number) for number in range(ROWS)]
    async with app.run_test(size=(160, 48)) as pilot:
        table = app.query_one(DataTable)
        keys = table.add_columns(*COLUMNS)
        fills = []
        for _ in range(3):
            begin = process_time()
            table.clear()
            table.add_rows(rows)
            await pilot.pause()
            fills.append(process_time() - begin)
        moves = []
        for _ in range(30):
            begin = process_time()
            await pilot.press("down")
            await pilot.pause()
            moves.append(process_time() - begin)
        begin = process_time()
        table.sort(keys[1])
        await pilot.pause()
        sort = process_time() - begin
    print(f"fill {ROWS:,} rows   {1000 * min(fills):6.0f} to {1000 * max(fills):.0f} ms")
    print(f"cursor down       {1000 * median(moves):6.1f} ms")
    print(f"sort by a column  {1000 * sort:6.0f} ms")


if __name__ == "__main__":
    asyncio.run(measure())
