"""What was measured here, and what was imported, as rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gemmahub.measurements.records import SpeedResult
from gemmahub.service.benching.text import rate_text

if TYPE_CHECKING:
    from gemmahub.service.installation import Installation

KEPT_COLUMNS: Final = (
    "model", "precision", "engine", "depth", "prefill tokens/s", "decode tokens/s", "day",
    "machine",
)  # fmt: skip


def kept_rows(here: Installation) -> list[tuple[str, ...]]:
    """A row for each depth of each result, the latest first."""
    return [
        (
            kept.result.model.reference,
            kept.result.model.precision,
            kept.result.conditions.engine,
            f"{each.depth:,}",
            rate_text(each.prefill),
            rate_text(each.decode),
            datetime.fromtimestamp(kept.result.conditions.at, UTC).strftime("%Y-%m-%d"),
            f"another: {kept.origin}" if kept.origin else "this one",
        )
        for kept in here.results.kept
        if isinstance(kept.result, SpeedResult)
        for each in kept.result.depths
    ]
