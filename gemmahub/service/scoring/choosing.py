"""Which models are scored, and which one they are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.errors import DoesNotFit, GemmahubError, NotInstalled, UsageError
from gemmahub.measurements.scoring.words import same_words, words_of
from gemmahub.precision.training import QAT
from gemmahub.service.purpose import check_purpose
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation

_BEST: Final = ("F32", "BF16", "F16", "Q8_0")
_MEASURE: Final = (
    "QAT models score below their own BF16 on well-known texts, so perplexities of QAT and other "
    "models cannot be ranked by each other: the measure is the divergence from the matching QAT "
    "BF16"
)


def scorable(here: Installation, reference: str) -> Variant:
    """A model that can be scored. Raises: NotInstalled, NotFound, UsageError."""
    variant, _ = here.chosen(reference)
    if not variant.runnable:
        raise NotInstalled(
            f"{variant.reference} is not on this machine",
            f"gemmahub pull {variant.reference} downloads it ({variant.download})",
            variant.reference,
        )
    check_purpose(variant, "score")
    return variant


def best_here(here: Installation, variants: Sequence[Variant]) -> Variant | None:
    """The best precision of the same model that is on this machine, or among those that are asked
    for: one of 8 bits or more, else of several that are asked for the one with the most bits. None
    where there is nothing to hold against each other."""
    # Files and the catalogue write one name in upper and lower case: "270M", "270m".
    (name, *others) = dict.fromkeys(variant.name.casefold() for variant in variants)
    if others:
        return None
    known = {variant.reference: variant for variant in variants}
    for variant in here.registry.models().variants:
        known.setdefault(variant.reference, variant)
    found = [v for v in known.values() if v.name.casefold() == name and v.artifacts and v.is_model]
    trained = variants[0].precision.training.value == QAT
    found = [v for v in found if (v.precision.training.value == QAT) is trained]
    for label in _BEST:
        for variant in found:
            if variant.precision.label == label:
                only = len(variants) == 1 and variant.reference == variants[0].reference
                return None if only else variant
    if len(variants) == 1 or any((v.precision.training.value == QAT) != trained for v in variants):
        return None
    return max(variants, key=lambda variant: variant.precision.bits_per_weight or 0.0)


def is_good(variant: Variant) -> bool:
    """Whether a divergence from it tells nearly all that a precision loses."""
    return variant.precision.label in _BEST


def check_words(variants: Sequence[Variant], reference: Variant) -> int:
    """How many words the vocabulary of the reference has, 0 where its files do not say it.

    Raises: UsageError for a model with another one.
    """
    own = _words(reference)
    for variant in variants:
        if variant.reference != reference.reference and not same_words(own, _words(variant)):
            raise other_words(variant, reference)
    return len(own)


def other_words(variant: Variant, reference: Variant) -> UsageError:
    """The error for models whose tokens do not mean the same."""
    return UsageError(
        f"{one_line(variant.reference)} and {one_line(reference.reference)} have different "
        "tokenizers: their probabilities cannot be compared",
        "choose another --reference, of the same model",
    )


def _words(variant: Variant) -> tuple[bytes, ...]:
    if not variant.artifacts:
        return ()
    artifact = variant.artifacts[0]
    return words_of(artifact.files[0] if artifact.files else artifact.path)


def check_fit(here: Installation, variant: Variant, window: int) -> None:
    """Raises: DoesNotFit for a model that the memory has no room for, as far as that is known."""
    from gemmahub.service.plans import PlanOptions, plan

    try:
        found = plan(here, variant.reference, PlanOptions(context=window, outputs=window // 2))
    except GemmahubError:
        return  # nobody knows: the engine will say it
    if not found.memory.fits:
        raise DoesNotFit(
            f"{one_line(variant.reference)} does not fit in free memory: it needs "
            f"{format_gib(found.memory.total_bytes)} with windows of {window} tokens",
            f"gemmahub plan {one_line(variant.reference)} -c {window} shows what uses the "
            "memory; score a smaller variant, or free memory",
        )


def doubts_of(variants: Sequence[Variant], reference: Variant | None) -> list[str]:
    """What is to be known before figures of these models are held against each other."""
    trained = {variant.precision.training.value == QAT for variant in variants}
    if len(trained) > 1:
        return [_MEASURE]
    (is_qat,) = trained
    if not is_qat:
        return []
    if reference is None or reference.precision.training.value != QAT:
        return [_MEASURE]
    return []
