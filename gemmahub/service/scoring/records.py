"""What is asked of a measurement of quality, how far it is, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gemmahub.measurements.records import QualityResult

WINDOW: Final = 512
"""Tokens; that of llama-perplexity, and of the figures that people publish."""


@dataclass(frozen=True, slots=True)
class QualityOptions:
    """``texts`` are kinds of the package's own (``prose``) or files. ``reference`` is the model
    that others are held against; None chooses the best precision of the same model that is here.
    ``chunks`` is how many windows of each text are scored at most."""

    texts: tuple[str, ...] = ("prose",)
    reference: str | None = None
    chunks: int | None = None
    backend: str | None = None
    window: int = WINDOW


@dataclass(frozen=True, slots=True)
class ScoringProgress:
    """How far one model is with one text. ``windows`` is 0 where their number is not known yet,
    ``seconds_left`` None where nothing was measured."""

    model: str
    text: str
    done: int
    windows: int
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What was measured, and what is to be known of it."""

    results: tuple[QualityResult, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """What ``gemmahub quality --json`` prints: a file of results, with notes."""
        return {
            "gemmahub_results": 1,
            "results": [{"kind": "quality", **result.as_json()} for result in self.results],
            "notes": list(self.notes),
        }
