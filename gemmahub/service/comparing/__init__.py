"""The use case: two or more variants side by side, figure by figure.

:class:`Comparison` holds the figures. :mod:`~gemmahub.service.comparing.rows` puts them into the
rows that the command and the terminal UI show, :mod:`~gemmahub.service.comparing.text` into
sentences.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

from gemmahub.errors import DoesNotFit, GemmahubError, NotFound, UsageError
from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.planning.fit import Fit
from gemmahub.service.advice import RecommendOptions, machine_for
from gemmahub.service.comparing.records import (
    Comparison,
    Difference,
    Memory,
    MemoryAt,
    Side,
    roles_of,
)
from gemmahub.service.comparing.text import differences
from gemmahub.service.library import Planner
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gemmahub.hardware.records import Machine
    from gemmahub.memory import MachineMemory
    from gemmahub.recommend.records import Choice
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation

__all__ = [
    "CONTEXTS",
    "MOST",
    "Comparison",
    "Difference",
    "Memory",
    "MemoryAt",
    "Side",
    "make",
    "roles_of",
]

CONTEXTS: Final = (4096, 16_384, 32_768, 131_072)
"""Tokens of context at which the memory is compared; those that a model was trained for."""

MOST: Final = 8
"""How many variants can stand side by side."""


def make(here: Installation, references: Sequence[str], options: RecommendOptions) -> Comparison:
    """Variants side by side on this machine, or on the one that ``options`` name.

    Of ``options`` count the machine, the use and the context that is demanded. A name without a
    variant means the recommended one, as everywhere.

    Raises: UsageError for fewer than two variants, too many, one that is named twice, or a machine
    that there is none of; NotFound, FormatError, IntegrityError, Gated, NetworkError.
    """
    _check(references)
    machine = machine_for(here, options)
    variants = [_variant(here, reference, machine) for reference in references]
    _check_different(references, variants)
    place, reason = _place(machine)
    choices: Mapping[str, Choice] = {}
    if place is not None:
        choices = _choices(here, machine, place, options, variants)
    sides = tuple(_side(here, v, place, reason, choices.get(v.reference)) for v in variants)
    free: tuple[tuple[str, int], ...] = ()
    if place is not None:
        accelerators = tuple((device.name, device.free_bytes) for device in place.devices)
        free = (*accelerators, ("system memory", place.host_free_bytes))
    return Comparison(machine, options.use, free, sides, differences(sides))


# --- what is compared --------------------------------------------------------------------------


def _check(references: Sequence[str]) -> None:
    if len(references) < 2:
        raise UsageError("there is nothing to compare it with", "name two variants or more")
    if len(references) > MOST:
        raise UsageError(
            f"{len(references)} variants are too many to stand side by side",
            f"name {MOST} at most; gemmahub list --all shows all below each other",
        )
    for first, second in combinations(references, 2):
        if first == second:
            raise UsageError(
                f"{one_line(first)} is named twice", "name variants that differ from each other"
            )


def _variant(here: Installation, reference: str, machine: Machine) -> Variant:
    from gemmahub.service.remote import look

    for variant in here.registry.installed().variants:
        if variant.reference == reference:
            return variant
    return look(here, reference, machine).variant


def _check_different(references: Sequence[str], variants: Sequence[Variant]) -> None:
    for (first, one), (second, other) in combinations(zip(references, variants, strict=True), 2):
        if one.reference == other.reference or _paths(one) & _paths(other):
            raise UsageError(
                f"{one_line(first)} and {one_line(second)} are the same variant: "
                f"{one_line(one.reference)}",
                "name variants that differ from each other; gemmahub list --all shows them",
            )


def _paths(variant: Variant) -> set[Path]:
    return {artifact.path.resolve() for artifact in variant.artifacts}


# --- its figures -------------------------------------------------------------------------------


def _place(machine: Machine) -> tuple[MachineMemory | None, str]:
    from gemmahub.planning import machine_of

    try:
        return machine_of(machine), ""
    except GemmahubError as error:
        return None, error.message


def _choices(
    here: Installation,
    machine: Machine,
    place: MachineMemory,
    options: RecommendOptions,
    variants: Sequence[Variant],
) -> dict[str, Choice]:
    """The recommended settings by reference, chosen among all that is known: so they are those of
    ``recommend`` and of the library."""
    from gemmahub.planning.candidates import bandwidths_of, candidates_of
    from gemmahub.planning.model import catalogued
    from gemmahub.recommend import Use, Wish, recommend

    registry = here.registry
    have = list(registry.installed().variants)
    known = {variant.reference for variant in have}
    for variant in variants:
        entry = catalogued(variant, registry.catalog)
        is_candidate = entry is not None and entry[1].types is not None and entry[1].confirmed
        if variant.reference not in known and not is_candidate:
            have.append(variant)
    candidates = candidates_of(have, registry.catalog, here.measured(machine))
    wish = Wish(Use(options.use), options.context, not options.no_offload, every_variant=True)
    try:
        ranking = recommend(candidates, place, wish, *bandwidths_of(machine))
    except (DoesNotFit, NotFound):
        return {}
    return {choice.candidate.reference: choice for choice in ranking.choices}


def _side(
    here: Installation,
    variant: Variant,
    place: MachineMemory | None,
    reason: str,
    choice: Choice | None,
) -> Side:
    from gemmahub.recommend.quality import quality_of

    precision = variant.precision
    model = here.registry.catalog.model(variant.reference.partition(":")[0])
    fit, memory = Fit.unknown(reason), Memory(reason=reason)
    if place is not None:
        fit, memory = _memory(here, variant, place, choice)
    return Side(
        variant=variant,
        fit=fit,
        roles=roles_of(precision.mix),
        memory=memory,
        quality=quality_of(model, precision.label, precision.training.value),
        choice=choice,
    )


def _memory(
    here: Installation, variant: Variant, place: MachineMemory, choice: Choice | None
) -> tuple[Fit, Memory]:
    """Whether it fits as ``run`` loads it, and what it takes with the recommended layers."""
    from gemmahub.planning import model_of
    from gemmahub.planning.fit import fit_of

    try:
        model = model_of(variant, here.registry.catalog)
    except (GemmahubError, OSError) as error:
        reason = one_line(" · ".join(filter(None, (str(error), getattr(error, "hint", "")))), 400)
        return Fit.unknown(reason), Memory(reason=reason)
    layers = None
    if choice is not None and place.devices:
        planned = choice.plan.gpu_layers
        layers = None if planned == len(model[0].layers) + 1 else planned
    planner = Planner(variant, model, place, gpu_layers=layers)
    top = planner.trained_context or CONTEXTS[-1]
    contexts = [context for context in CONTEXTS if context <= top] or [top]
    plans = [planner.memory(context, cache) for cache in USUAL_CACHE_TYPES for context in contexts]
    totals = tuple(
        MemoryAt(p.settings.context, p.settings.cache_type_k, p.total_bytes, p.headroom_bytes)
        for p in plans
    )
    return fit_of(model, place), Memory(
        totals=totals,
        largest_contexts=tuple(
            (cache, planner.largest_context(cache)) for cache in USUAL_CACHE_TYPES
        ),
        trained_context=planner.trained_context,
        gpu_layers=layers,
        engine=plans[0].engine,
    )
