"""One model and one text, window by window: what is kept is taken, the rest computed and kept."""

from __future__ import annotations

import hashlib
import json
from array import array
from dataclasses import dataclass, field
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import UsageError
from gemmahub.measurements.scoring.checks import checked_window
from gemmahub.measurements.scoring.kept import KeptWindows
from gemmahub.measurements.scoring.reduction import PlaceTable, changes_of, place_tables
from gemmahub.measurements.scoring.sampling import TOP, sample_rows, stride_of
from gemmahub.service.scoring.records import ScoringProgress
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gemmahub.engines.contract import ScoredText, Session
    from gemmahub.measurements.records import Conditions
    from gemmahub.service.scoring.texts import ScoredSource

    Columns = dict[str, array[Any]]

_SCHEME: Final = 1
"""Of the numbers that are kept; grows when they come about in another way."""
_UNSEEN: Final = frozenset({"context", "threads", "ubatch", "batch", "mmap", "mlock", "parallel"})
"""Settings that change no probability."""


@dataclass(frozen=True, slots=True)
class TextOfModel:
    """What is scored, under which name it is shown, and how its windows are known again."""

    model: str
    content: str
    text: ScoredSource
    window: int
    conditions: Conditions

    def key(self, purpose: str) -> str:
        """Another model, build, text or setting has another one."""
        found = self.conditions
        parts = [
            *(_SCHEME, self.content, self.text.sha256, self.window, purpose),
            *(found.engine, found.build, found.place, found.machine),
            {name: value for name, value in found.settings.items() if name not in _UNSEEN},
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class Base:
    """A reference whose windows are kept: the vocabulary's size, and where they lie."""

    key: str
    words: int
    kept: KeptWindows


@dataclass(slots=True)
class Scoring:
    """Scores a text. ``base`` is the reference that the model is held against; ``as_base`` keeps
    what others are held against. ``limit`` is how many windows are scored at most."""

    folder: Path
    subject: TextOfModel
    session: Session
    base: Base | None = None
    as_base: int | None = None
    named: bool = True
    limit: int | None = None
    on_progress: Callable[[ScoringProgress], None] | None = None
    _computed: int = 0
    _begun: float = field(default_factory=monotonic)
    _stream: Iterator[ScoredText] | None = None
    _next: int = 0

    @property
    def kept(self) -> KeptWindows:
        """Where the windows lie."""
        return KeptWindows(self.folder / self.key)

    @property
    def key(self) -> str:
        """Names what the windows are of."""
        if self.base is not None:
            return self.subject.key(f"against {self.base.key}")
        return self.subject.key("base" if self.as_base is not None else "alone")

    def windows(self) -> Iterator[Columns]:
        """The columns of each window. Raises: UsageError for a text that is too short, or tokens
        that are not those of the reference; GemmahubError where they cannot be kept."""
        number, total, last = 0, 0, None
        kept = self.kept
        while (self.limit is None or number < self.limit) and (not total or number < total):
            columns = kept.get(number)
            if columns is None:
                scored = self._score(number)
                if scored is None:
                    self._end(number, last)
                    break
                if scored.windows == 1:
                    raise _too_short(self.subject)
                columns = self._reduced(number, scored)
                kept.put(number, columns)
                self._computed += 1
            total, last = columns["windows"][0], columns
            number += 1
            self._tell(number, total)
            yield columns

    def _end(self, number: int, last: Columns | None) -> None:
        """Keep how many windows there are, where the engine does not say it."""
        if last is None or number < 2:
            raise _too_short(self.subject)
        self.kept.put(number - 1, {**last, "windows": array("i", [number])})

    @property
    def _engine(self) -> str:
        return self.subject.conditions.engine

    def _score(self, number: int) -> ScoredText | None:
        """A window of the text; None beyond its end."""
        text, window = self.subject.text.text, self.subject.window
        if not self.named:
            if self._stream is None:
                self._stream = iter(self.session.score(text, window))
            while self._next <= number:
                scored = next(self._stream, None)
                self._next += 1
            return None if scored is None else checked_window(scored, window, self._engine)
        rows: list[Any] = [()] * window
        if self.as_base is not None:
            rows = list(sample_rows(self.as_base, window, number))
        elif self.base is not None:
            tables = self._tables(number)
            rows = [*rows[: window - len(tables)], *(table.tokens for table in tables)]
        top = TOP if self.as_base is not None else int(self.base is not None)
        found = list(self.session.score_at(text, number, [rows], window, top))
        if not found:
            return None
        return checked_window(found[0], window, self._engine, top, rows if any(rows) else ())

    def _reduced(self, number: int, scored: ScoredText) -> Columns:
        found: Columns = {
            "windows": array("i", [scored.windows]),
            "tokens": array("i", scored.tokens),
            "own": array("d", scored.log_probabilities),
        }
        if self.as_base is not None:
            rows = sample_rows(self.as_base, self.subject.window, number)
            tables = place_tables(scored, rows)
            found["tops"] = array("i", (len(table.top) for table in tables))
            found["rests"] = array("i", (len(table.rest) for table in tables))
            for name, kind in (("top", "i"), ("top_logs", "f"), ("rest", "i"), ("rest_logs", "f")):
                columns = (getattr(table, name) for table in tables)
                found[name] = array(kind, chain.from_iterable(columns))
        elif self.base is not None:
            base = self._of_base(number)
            if base["tokens"] != found["tokens"] or len(base["own"]) != len(found["own"]):
                raise UsageError(
                    f"{self.subject.model} splits {self.subject.text.name} into other tokens "
                    "than the reference: their probabilities cannot be compared",
                    "choose another --reference, of the same model",
                )
            changes = changes_of(self._tables(number), scored, stride_of(self.base.words))
            found["divergences"] = changes.divergences
            found["changes"] = changes.changes
            found["same_top"] = changes.same_top
        return found

    def _of_base(self, number: int) -> Columns:
        assert self.base is not None
        found = self.base.kept.get(number)
        if found is None or "top" not in found:
            raise UsageError(
                f"the reference's scores of {self.subject.text.name} are no longer saved",
                "run the same command again: it computes that again",
            )
        return found

    def _tables(self, number: int) -> list[PlaceTable]:
        found = self._of_base(number)
        tables, top, rest = [], 0, 0
        for own, tops, rests in zip(found["own"], found["tops"], found["rests"], strict=True):
            best, others = slice(top, top + tops), slice(rest, rest + rests)
            tables.append(
                PlaceTable(
                    own,
                    found["top"][best],
                    found["top_logs"][best],
                    found["rest"][others],
                    found["rest_logs"][others],
                )
            )
            top, rest = best.stop, others.stop
        return tables

    def _tell(self, done: int, total: int) -> None:
        if self.on_progress is None:
            return
        windows = min(filter(None, (total, self.limit)), default=0)
        left = None
        if self._computed and windows:
            left = (monotonic() - self._begun) / self._computed * (windows - done)
        subject = self.subject
        self.on_progress(ScoringProgress(subject.model, subject.text.name, done, windows, left))


def _too_short(subject: TextOfModel) -> UsageError:
    return UsageError(
        f"{one_line(subject.text.name)} has fewer tokens than two windows of {subject.window}",
        "use a longer text",
    )
