"""The use case: one file that shows what variants are, take and lose, to keep or to send.

:mod:`~gemmahub.service.reporting.curves` has the figures of the plots,
:mod:`~gemmahub.service.reporting.plots` draws them, :mod:`~gemmahub.service.reporting.page` writes
the page and :mod:`~gemmahub.service.reporting.markdown` the same as text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gemmahub.errors import UsageError
from gemmahub.service.comparing import side_by_side
from gemmahub.service.comparing.rows import sections
from gemmahub.service.comparing.text import letter
from gemmahub.service.measuring import machine_text, shared_reference
from gemmahub.service.reporting.curves import Curve, PrecisionPoint, curves_of, points_of, speeds_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.hardware.records import Machine
    from gemmahub.measurements.results import KeptResult
    from gemmahub.recommend.goals import Requirements
    from gemmahub.service.comparing.records import Comparison
    from gemmahub.service.comparing.table import Section
    from gemmahub.service.installation import Installation

MOST = 24
"""How many variants a report can have."""


@dataclass(frozen=True, slots=True)
class VariantReport:
    """Everything that a report says. ``machine`` in words that do not tell whose it is.

    ``memory``, ``speeds`` and ``precisions`` are what its plots show; ``others`` what was measured
    of the same weights on other machines.
    """

    machine: str
    comparison: Comparison
    sections: tuple[Section, ...]
    memory: tuple[Curve, ...]
    free_bytes: int | None
    speeds: tuple[Curve, ...]
    precisions: tuple[PrecisionPoint, ...]
    others: tuple[KeptResult, ...] = ()

    @property
    def letters(self) -> tuple[str, ...]:
        """What the variants are called, in their order."""
        return tuple(letter(number) for number, _ in enumerate(self.comparison.sides))


def report_on(
    here: Installation,
    references: Sequence[str],
    wanted: Requirements,
    machine: Machine | None = None,
) -> VariantReport:
    """What is known and what was measured of one or more variants.

    Raises: UsageError for too many, and for one that is named twice; NotFound, FormatError,
    IntegrityError, Gated, NetworkError.
    """
    if len(references) > MOST:
        raise UsageError(
            f"{len(references)} variants are too many for a report", f"give at most {MOST}"
        )
    machine = machine or here.machine_for()
    found = side_by_side(here, references, wanted, machine)
    # A report may be sent: a file of one's own goes by its name alone.
    sides = tuple(
        replace(s, variant=replace(s.variant, reference=shared_reference(s.variant)))
        for s in found.sides
    )
    comparison = replace(found, sides=sides)
    contents = {
        result.model.content
        for side in comparison.sides
        for result in (side.seen.quality, side.seen.speed)
        if result is not None
    }
    return VariantReport(
        machine=machine_text(machine),
        comparison=comparison,
        sections=sections(comparison),
        memory=curves_of(here, found),
        free_bytes=sum(count for _, count in comparison.free) or None,
        speeds=speeds_of(comparison),
        precisions=points_of(comparison),
        others=tuple(
            kept
            for kept in here.results.kept
            if kept.origin and kept.result.model.content in contents
        ),
    )
