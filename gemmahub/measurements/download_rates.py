"""How fast downloads were on this machine: the last rates, remembered in the data folder."""

from __future__ import annotations

from functools import cached_property
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.records.small_table import SmallTable

FILE_NAME: Final = "downloads.sqlite"
LEAST_BYTES: Final = 4_000_000
LEAST_SECONDS: Final = 0.5
"""A rate of less says little: a connection begins slowly."""

_KEPT: Final = 20
_COLUMNS: Final = ("bytes integer not null", "seconds real not null", "at real not null")


class DownloadRates:
    """Remembered downloads. A file that cannot be read or written is an empty one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def add(self, fetched: int, seconds: float) -> None:
        """Remember that so many bytes came over the network in that time, if it says something."""
        if fetched < LEAST_BYTES or seconds < LEAST_SECONDS:
            return
        self._table.write(
            [
                ("insert into download values (?, ?, ?)", (fetched, seconds, time())),
                (
                    "delete from download where rowid not in "
                    "(select rowid from download order by at desc, rowid desc limit ?)",
                    (_KEPT,),
                ),
            ]
        )

    def last(self) -> float | None:
        """Bytes a second of the latest; None where nothing was measured."""
        if not self._path.exists():
            return None
        rows = self._table.rows()
        latest = max(enumerate(rows), key=lambda row: (row[1][2], row[0]), default=None)
        return None if latest is None else latest[1][0] / latest[1][1]

    @cached_property
    def _table(self) -> SmallTable[tuple[int, float, float]]:
        from msgspec import Meta

        from gemmahub.records.parsing import LATEST_TIME
        from gemmahub.records.small_table import SmallTable

        fetched = Annotated[int, Meta(ge=LEAST_BYTES, le=2**50)]
        seconds = Annotated[float, Meta(ge=LEAST_SECONDS, le=1e9)]
        row: Any = tuple[fetched, seconds, Annotated[float, Meta(ge=0, le=LATEST_TIME)]]
        return SmallTable(self._path, "download", _COLUMNS, row, keep=True)
