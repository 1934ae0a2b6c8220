"""The use case: two or more variants side by side, figure by figure.

:class:`Comparison` holds the figures. :mod:`~gemmahub.service.comparing.rows` puts them into the
rows that the command and the terminal UI show, :mod:`~gemmahub.service.comparing.text` into
sentences.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Final

from gemmahub.errors import DoesNotFit, GemmahubError, NotFound, UsageError
from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.memory import ON_DEVICES
from gemmahub.planning.fit import Fit
from gemmahub.service.comparing.records import (
    Comparison,
    Difference,
    MemoryTable,
    Side,
    roles_of,
)
from gemmahub.service.comparing.text import differences
from gemmahub.service.measured import figures_of
from gemmahub.service.planner import Planner
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.hardware.records import Machine
    from gemmahub.memory import MachineMemory
    from gemmahub.recommend.goals import Requirements
    from gemmahub.recommend.quality import Loss
    from gemmahub.recommend.records import Measured, ScoredPlan
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.measured import MeasuredFigures

__all__ = [
    "CONTEXTS",
    "MOST",
    "Comparison",
    "Difference",
    "MemoryTable",
    "Side",
    "compare",
    "roles_of",
]

CONTEXTS: Final = (4096, 16_384, 32_768, 131_072)
"""Tokens of context at which the memory is compared; those that a model was trained for."""

MOST: Final = 8
"""How many variants can stand side by side."""


def compare(
    here: Installation,
    references: Sequence[str],
    wanted: Requirements,
    machine: Machine | None = None,
) -> Comparison:
    """Variants side by side on this machine, or on another one.

    Of ``wanted`` count the use and the context that is demanded. A name without a variant means the
    recommended one, as everywhere.

    Raises: UsageError for fewer than two variants, too many, or one that is named twice; NotFound,
    FormatError, IntegrityError, Gated, NetworkError.
    """
    _check(references)
    return side_by_side(here, references, wanted, machine)


def side_by_side(
    here: Installation,
    references: Sequence[str],
    wanted: Requirements,
    machine: Machine | None = None,
) -> Comparison:
    """As :func:`compare`, also of one variant alone, or of many.

    Raises: UsageError for one that is named twice; NotFound, FormatError, IntegrityError, Gated,
    NetworkError.
    """
    from gemmahub.planning import known_places_of

    machine = machine or here.machine_for()
    variants = [_variant(here, reference, machine) for reference in references]
    _check_different(references, variants)
    places, reason = known_places_of(machine)
    place = next(iter(places), None)
    measured = here.measured(machine)
    plans = {} if place is None else _scored_plans(here, machine, wanted, variants, measured)
    sides = tuple(
        _side(
            here, v, place, reason, plans.get(v.reference), measured.losses.get(v.reference), seen
        )
        for v, seen in zip(variants, figures_of(here, variants, machine), strict=True)
    )
    free: tuple[tuple[str, int], ...] = ()
    if place is not None:
        accelerators = tuple((device.name, device.free_bytes) for device in place.devices)
        free = (*accelerators, ("system memory", place.host_free_bytes))
    return Comparison(machine, wanted.use, free, sides, differences(sides))


# --- what is compared --------------------------------------------------------------------------


def _check(references: Sequence[str]) -> None:
    if len(references) < 2:
        raise UsageError("there is nothing to compare it with", "give two or more variants")
    if len(references) > MOST:
        raise UsageError(
            f"{len(references)} variants are too many to compare",
            f"give at most {MOST}; gemmahub list --all lists them all",
        )
    for first, second in combinations(references, 2):
        if first == second:
            raise UsageError(f"{one_line(first)} was given twice", "choose different variants")


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
                "choose different variants; gemmahub list --all shows them",
            )


def _paths(variant: Variant) -> set[Path]:
    return {artifact.path.resolve() for artifact in variant.artifacts}


# --- its figures -------------------------------------------------------------------------------


def _scored_plans(
    here: Installation,
    machine: Machine,
    wanted: Requirements,
    variants: Sequence[Variant],
    measured: Measured,
) -> dict[str, ScoredPlan]:
    """The recommended settings by reference, chosen among all that is known: so they are those of
    ``recommend`` and of the overview."""
    from gemmahub.planning.model import catalogued
    from gemmahub.planning.recommending import ranked

    registry = here.registry
    known = {variant.reference for variant in registry.installed().variants}
    more = []
    for variant in variants:
        entry = catalogued(variant, registry.catalog)
        is_candidate = entry is not None and entry[1].checked
        if variant.reference not in known and not is_candidate:
            more.append(variant)
    every = replace(wanted, every_variant=True, model=None, installed=False)
    try:
        ranking = ranked(registry, machine, every, measured, more)
    except (DoesNotFit, NotFound):
        return {}
    return {plan.candidate.reference: plan for plan in ranking.plans}


def _side(
    here: Installation,
    variant: Variant,
    place: MachineMemory | None,
    reason: str,
    plan: ScoredPlan | None,
    loss: Loss | None,
    seen: MeasuredFigures,
) -> Side:
    from gemmahub.recommend.quality import quality_of

    precision = variant.precision
    model = here.registry.catalog.model(variant.reference.partition(":")[0])
    fit, memory = Fit.unknown(reason), MemoryTable(reason=reason)
    if place is not None:
        fit, memory = _memory(here, variant, place, plan)
    return Side(
        variant=variant,
        fit=fit,
        roles=roles_of(precision.mix),
        memory=memory,
        quality=quality_of(
            model,
            precision.label,
            precision.training.value,
            stated=precision.stated,
            measured=loss,
        ),
        plan=plan,
        seen=seen,
    )


def _memory(
    here: Installation, variant: Variant, place: MachineMemory, plan: ScoredPlan | None
) -> tuple[Fit, MemoryTable]:
    """Whether it fits as ``run`` loads it, and what it takes with the recommended layers."""
    from gemmahub.planning import ContextTotal, model_of
    from gemmahub.planning.fit import fit_of

    try:
        model = model_of(variant, here.registry.catalog)
    except (GemmahubError, OSError) as error:
        reason = one_line(getattr(error, "in_full", str(error)), 400)
        return Fit.unknown(reason), MemoryTable(reason=reason)
    placement = plan.placement if plan is not None else ON_DEVICES
    planner = Planner(variant, model, place, placement=placement)
    top = planner.trained_context or CONTEXTS[-1]
    contexts = [context for context in CONTEXTS if context <= top] or [top]
    plans = [planner.memory(context, cache) for cache in USUAL_CACHE_TYPES for context in contexts]
    totals = tuple(
        ContextTotal(p.settings.context, p.settings.cache_type_k, p.total_bytes, p.headroom_bytes)
        for p in plans
    )
    return fit_of(model, place), MemoryTable(
        totals=totals,
        largest_contexts=tuple(
            (cache, planner.largest_context(cache)) for cache in USUAL_CACHE_TYPES
        ),
        trained_context=planner.trained_context,
        placement=placement,
        engine=plans[0].engine,
    )
