"""How fast models were on this machine: decode speeds, remembered in the data folder.

Estimates of speed are worth less than one measurement, so every longer answer leaves one behind.
"""

from __future__ import annotations

import contextlib
from functools import cached_property
from statistics import median
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from gemmahub.engines.contract import SessionBase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.engines.contract import Chunk, Prompt, Sampling, Session, SessionInfo
    from gemmahub.records.small_table import SmallTable

FILE_NAME: Final = "speed.sqlite"
LEAST_TOKENS: Final = 16
"""Shorter answers say too little about speed."""

_KEPT: Final = 9
_COLUMNS: Final = (
    "reference text not null",
    "place text not null",
    "tokens integer not null",
    "seconds real not null",
    "at real not null",
)


class SpeedLog:
    """Remembered decode speeds. A log that cannot be read or written is an empty one.

    A row that is damaged costs itself; a file that is damaged is kept as ``speed.sqlite.damaged``
    when the next speed is remembered. ``place`` says where the layers were: ``cpu``, ``gpu``, or
    ``split`` between them.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def add(self, reference: str, place: str, tokens: int, seconds: float) -> None:
        """Remember an answer of at least ``LEAST_TOKENS`` tokens; the last few of a model stay."""
        if tokens < LEAST_TOKENS or seconds <= 0:
            return
        last = "order by at desc, rowid desc limit ?"
        named = (reference, place)
        self._table.write(
            [
                ("insert into decode values (?, ?, ?, ?, ?)", (*named, tokens, seconds, time())),
                (
                    "delete from decode where reference = ? and place = ? and rowid not in "
                    f"(select rowid from decode where reference = ? and place = ? {last})",
                    (*named, *named, _KEPT),
                ),
            ]
        )

    def speeds(self, place: str) -> dict[str, float]:
        """Tokens a second by reference: the median of the last answers there."""
        found: dict[str, list[float]] = {}
        if self._path.exists():
            for reference, where, tokens, seconds, _ in self._table.rows():
                if where == place:
                    found.setdefault(reference, []).append(tokens / seconds)
        return {reference: median(speeds) for reference, speeds in found.items()}

    @cached_property
    def _table(self) -> SmallTable[tuple[str, str, int, float, float]]:
        from msgspec import Meta

        from gemmahub.records.parsing import LATEST_TIME
        from gemmahub.records.small_table import SmallTable

        text = Annotated[str, Meta(max_length=4096)]
        tokens = Annotated[int, Meta(ge=LEAST_TOKENS, le=2**40)]
        seconds = Annotated[float, Meta(ge=1e-6, le=1e9)]
        at = Annotated[float, Meta(ge=0, le=LATEST_TIME)]
        row: Any = tuple[text, text, tokens, seconds, at]
        return SmallTable(self._path, "decode", _COLUMNS, row, keep=True)


class RememberingSession(SessionBase):
    """A session that leaves the speed of its answers in a log, and is the same otherwise."""

    def __init__(self, session: Session, log: SpeedLog, reference: str, layers: int | None) -> None:
        self._session = session
        self._log = log
        self._reference = reference
        self._place = place_of(session.info, layers)

    @property
    def info(self) -> SessionInfo:
        """What was loaded."""
        return self._session.info

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """As the session inside."""
        with contextlib.closing(self._session.generate(prompt, sampling)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                yield chunk
                usage = chunk.usage
                if usage is not None and usage.tokens and usage.decode_seconds:
                    # The first token belongs to the prefill.
                    tokens, seconds = usage.tokens - 1, usage.decode_seconds
                    self._log.add(self._reference, self._place, tokens, seconds)

    @property
    def pid(self) -> int | None:
        """The process of the engine where it has one of its own."""
        return getattr(self._session, "pid", None)

    def cancel(self) -> None:
        """As the session inside."""
        self._session.cancel()

    def close(self) -> None:
        """As the session inside."""
        self._session.close()


def place_of(info: SessionInfo, layers: int | None) -> Literal["cpu", "gpu", "split"]:
    """Where the layers of a loaded model are, by its settings; ``layers`` is how many it has."""
    on_gpu = info.settings.gpu_layers
    if not on_gpu:
        return "cpu"
    return "gpu" if layers is None or on_gpu > layers else "split"
