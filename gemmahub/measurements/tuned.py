"""The settings with which a model was fastest on this machine, remembered in the data folder."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta
from msgspec.json import encode

from gemmahub.measurements.records import Amount, Conditions, Record
from gemmahub.records.parsing import Unfit, from_json

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.records.small_table import SmallTable

FILE_NAME: Final = "tuned.sqlite"
_COLUMNS: Final = ("content text not null", "engine text not null", "body text not null")

Size = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Name = Annotated[str, Meta(max_length=32)]


class TunedSettings(Record, frozen=True):
    """Settings by the names of the contract's; None: the usual. ``gain`` is how many times as fast
    they were as the usual ones, measured as ``conditions`` say. ``drafter`` is a file's path."""

    conditions: Conditions
    gain: Amount
    threads: Size | None = None
    ubatch: Size | None = None
    flash_attention: bool | None = None
    cache_type: Name | None = None
    gpu_layers: Size | None = None
    experts_in_memory: Size | None = None
    drafter: Annotated[str, Meta(max_length=4096)] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """Those that are not the usual ones."""
        names = (
            "threads", "ubatch", "flash_attention", "cache_type", "gpu_layers",
            "experts_in_memory", "drafter",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}


class TunedStore:
    """One entry for each model, by the sha256 of its weights, and engine."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def set(self, content: str, engine: str, tuned: TunedSettings) -> None:
        """Remember settings in place of those before. What cannot be written is not remembered."""
        row = (content, engine, encode(tuned).decode())
        self._table.write(
            [
                ("delete from tuned where content = ? and engine = ?", (content, engine)),
                ("insert into tuned values (?, ?, ?)", row),
            ]
        )

    def of(self, content: str | None, engine: str) -> TunedSettings | None:
        """Those of a model with an engine; None where there are none, or they are damaged."""
        if not content or not self._path.exists():
            return None
        for known, name, body in self._table.rows():
            if (known, name) == (content, engine):
                try:
                    return from_json(body, TunedSettings)
                except Unfit:
                    return None
        return None

    def forget(self, content: str, engine: str | None = None) -> int:
        """Forget those of a model, with one engine or with all; how many there were."""
        if not self._path.exists():
            return 0
        gone = [
            (known, name)
            for known, name, _ in self._table.rows()
            if known == content and engine in (None, name)
        ]
        delete = "delete from tuned where content = ? and engine = ?"
        if gone:
            self._table.write([(delete, row) for row in gone])
        return len(gone)

    @cached_property
    def _table(self) -> SmallTable[tuple[str, str, str]]:
        from gemmahub.records.small_table import SmallTable

        row: Any = tuple[
            Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")],
            Annotated[str, Meta(max_length=200)],
            Annotated[str, Meta(max_length=100_000)],
        ]
        return SmallTable(self._path, "tuned", _COLUMNS, row, keep=True)
