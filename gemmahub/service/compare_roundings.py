"""The use case: weights that are rounded to a type in two ways, each measured against its source,
of which one is kept."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.declared import check_capability
from gemmahub.errors import BackendError
from gemmahub.service.part_file import PartFile
from gemmahub.service.quantize_plan import plan_quantize
from gemmahub.service.quantizing import check_disk, made_variant, quantize
from gemmahub.service.scoring import QualityOptions, quality

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import OnProgress
    from gemmahub.measurements.records import Divergence
    from gemmahub.service.installation import Installation
    from gemmahub.service.quantize_records import QuantizeOptions, QuantizePlan
    from gemmahub.service.quantizing import Quantized
    from gemmahub.service.scoring import QualityReport, ScoringProgress

TEXT: Final = "prose"
WINDOWS: Final = 8
"""Of 512 tokens, of which the second half is scored."""


@dataclass(frozen=True, slots=True)
class ComparedRoundings:
    """Divergences from the source of a file with the scales that are sought, and of one with those
    that the engine takes. ``kept_lattice``: the first one is kept."""

    made: Quantized
    lattice: Divergence
    naive: Divergence
    text: str
    windows: int
    kept_lattice: bool

    def as_json(self) -> dict[str, Any]:
        """For ``gemmahub quantize --compare --json``."""
        sides = {"lattice": self.lattice, "naive": self.naive}
        return {
            **{
                name: {
                    "divergence": each.mean.value,
                    "error": each.mean.error,
                    "median": each.median,
                    "percentile_99": each.percentile_99,
                    "same_top": each.same_top.value,
                    "same_top_error": each.same_top.error,
                }
                for name, each in sides.items()
            },
            "text": self.text,
            "windows": self.windows,
            "kept": "lattice" if self.kept_lattice else "naive",
        }


def compare_roundings(
    here: Installation,
    plan: QuantizePlan,
    options: QuantizeOptions,
    *,
    on_progress: OnProgress | None = None,
    on_scoring: Callable[[ScoringProgress], None] | None = None,
) -> ComparedRoundings:
    """Make what a plan says with both roundings, one after the other, and keep the one that
    diverges less from the source; the one with the scales of the training where both are equal.

    Neither has the target's name before both were measured. Raises: as
    :func:`gemmahub.service.quantizing.quantize` and :func:`gemmahub.service.scoring.quality`.
    """
    backend = plan.choice.offer.backend
    for capability in ("score", "score_at"):
        check_capability(backend, capability)
    check_disk(plan, files=2)
    with ExitStack() as stack:
        made: dict[bool, tuple[QuantizePlan, Quantized]] = {}
        for sought, name in ((True, "lattice"), (False, "naive")):
            # A folder, so that the file in it has a name that engines take for a model.
            part = PartFile(plan.target.with_name(f"{plan.target.name}-{name}"))
            folder = stack.enter_context(part).path
            folder.mkdir()
            trial = replace(
                options, lattice=sought, compare=sought,
                output=folder / plan.target.name, backend=backend.name,
                importance=plan.importance, text="",
            )  # fmt: skip
            one = plan_quantize(here, plan.source.reference, trial)
            made[sought] = one, quantize(here, one, on_progress)
        report = quality(
            here,
            [made[sought][1].variant.reference for sought in (True, False)],
            QualityOptions((TEXT,), plan.source.reference, WINDOWS, backend.name),
            on_progress=on_scoring,
        )
        lattice, naive, windows = _divergences(report)
        better = lattice.mean.value <= naive.mean.value
        kept, found = made[better]
        with PartFile(plan.target) as target:
            kept.target.replace(target.path)
            target.keep(replace=plan.force)
    variant, listed = made_variant(here, plan.target)
    rounding = made[True][1].rounding
    quantized = replace(found, variant=variant, listed=listed, rounding=rounding)
    return ComparedRoundings(quantized, lattice, naive, TEXT, windows, better)


def _divergences(report: QualityReport) -> tuple[Divergence, Divergence, int]:
    """Raises: BackendError."""
    found = [each.divergence for each in report.results[-2:]]
    if len(found) != 2 or found[0] is None or found[1] is None:
        raise BackendError(
            "the engine did not report how far the two are from the model",
            "leave out --compare",
        )
    return found[0], found[1], report.results[-1].text.chunks
