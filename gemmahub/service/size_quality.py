"""The use case: variants by their size and their quality, the best of each size found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.text import format_bytes
from gemmahub.text.dots import Dot, DotPlot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gemmahub.planning.fit import Fit
    from gemmahub.recommend.quality import Quality
    from gemmahub.registry.variants import Variant
    from gemmahub.service.measured import MeasuredFigures

BEST: Final = "best"
"""The style of a variant that no smaller one, and none of its size, is as good as."""


@dataclass(frozen=True, slots=True)
class SizedVariant:
    """A variant with its size in bytes, whether it fits what is free, and what its quality is by
    each of :data:`MEASURES`; None for what is not known."""

    reference: str
    size_bytes: int
    fits: bool | None
    figures: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class QualityMeasure:
    """A figure of quality: what it is called, what it rests on, and how one is written."""

    name: str
    about: str
    text: Callable[[float], str]
    smaller_is_better: bool = False


MEASURES: Final = (
    QualityMeasure(
        "score", "published score less what the precision costs, in points", lambda v: f"{v:.1f}"
    ),
    QualityMeasure(
        "lost", "share of the score that the precision costs", lambda v: f"{v:.1%}", True
    ),
    QualityMeasure(
        "divergence",
        "from the reference, mean, measured here: gemmahub quality",
        lambda v: f"{v:.4f}",
        True,
    ),
    QualityMeasure(
        "perplexity",
        "measured here: compare variants of one model only",
        lambda v: f"{v:.2f}",
        True,
    ),
)


def sized(
    variant: Variant, fit: Fit, quality: Quality, seen: MeasuredFigures, *, recommended: bool
) -> SizedVariant | None:
    """A variant as a dot; None where its size is not known. What can be ``recommended`` fits, also
    with layers in system memory."""
    if not variant.size_bytes:
        return None
    measured = seen.quality
    divergence = None if measured is None else measured.divergence
    return SizedVariant(
        variant.reference,
        variant.size_bytes,
        True if recommended else fit.fits,
        {
            "score": None if quality.score is None else quality.points(""),
            "lost": quality.loss.share,
            "divergence": None if divergence is None else divergence.mean.value,
            "perplexity": None if measured is None else measured.perplexity.value,
        },
    )


def measures_of(variants: Sequence[SizedVariant]) -> tuple[QualityMeasure, ...]:
    """Those that two variants or more have a figure of."""
    return tuple(
        measure
        for measure in MEASURES
        if sum(variant.figures[measure.name] is not None for variant in variants) >= 2
    )


def by_size(variants: Iterable[SizedVariant], measure: QualityMeasure) -> list[SizedVariant]:
    """Those with a figure, from the smallest to the largest; of equal sizes the better first."""
    sign = 1 if measure.smaller_is_better else -1
    known = [(figure, v) for v in variants if (figure := v.figures[measure.name]) is not None]
    return [v for _, v in sorted(known, key=lambda p: (p[1].size_bytes, sign * p[0]))]


def best_of_their_size(variants: Sequence[SizedVariant], measure: QualityMeasure) -> set[str]:
    """References of those that nothing of their size or smaller is as good as."""
    found, best = set(), None
    for variant in by_size(variants, measure):
        figure = variant.figures[measure.name]
        assert figure is not None
        goodness = -figure if measure.smaller_is_better else figure
        if best is None or goodness > best:
            best = goodness
            found.add(variant.reference)
    return found


def size_plot(
    variants: Sequence[SizedVariant],
    measure: QualityMeasure,
    chosen: str = "",
    name: Callable[[str], str] = str,
) -> tuple[DotPlot, list[SizedVariant]]:
    """The plot, and its variants in the order of its dots: the best of their size first, so that
    they are named first. ``name`` makes a label of a reference."""
    best = best_of_their_size(variants, measure)
    shown = by_size(variants, measure)
    shown.sort(key=lambda variant: variant.reference not in best)
    dots = [
        Dot(
            name(variant.reference),
            float(variant.size_bytes),
            variant.figures[measure.name] or 0.0,
            bool(variant.fits),
            BEST if variant.reference in best else "",
        )
        for variant in shown
    ]
    numbers = {variant.reference: number for number, variant in enumerate(shown)}
    plot = DotPlot(
        dots,
        lambda size: format_bytes(round(size)),
        measure.text,
        numbers.get(chosen),
        measure.smaller_is_better,
    )
    return plot, shown


LEGEND: Final = "● fits, ○ does not or is not known; the best of each size are named first"
_FITS: Final = {True: "fits", False: "does not fit", None: "not known whether it fits"}


def described(variant: SizedVariant, measure: QualityMeasure) -> str:
    """``gemma-4-12b-it:q4_0-qat  6.98 GB, score 58.2, fits``."""
    figure = variant.figures[measure.name]
    told = [format_bytes(variant.size_bytes)]
    if figure is not None:
        told.append(f"{measure.name} {measure.text(figure)}")
    told.append(_FITS[variant.fits])
    return f"{variant.reference}  {', '.join(told)}"
