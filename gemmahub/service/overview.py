"""The use case: every model that is here or known, with fit, speed, rank and what runs it.

A row answers at a glance what a person asks of a model; a
:class:`~gemmahub.service.planner.Planner` answers again and again what other settings would take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from gemmahub.errors import DoesNotFit, GemmahubError, NotFound
from gemmahub.planning.fit import Fit
from gemmahub.recommend.goals import Requirements
from gemmahub.service.measured import UNMEASURED, MeasuredFigures, figures_of
from gemmahub.service.planner import Planner
from gemmahub.service.plans import DEFAULT_CONTEXT
from gemmahub.service.size_quality import sized
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gemmahub.catalog.records import Catalog
    from gemmahub.engines.contract import BrokenEntry
    from gemmahub.hardware.records import Machine
    from gemmahub.memory import MachineMemory, MemoryModel, MemoryPlan
    from gemmahub.planning.recommending import Recommendation
    from gemmahub.recommend.quality import Loss, Quality
    from gemmahub.recommend.records import DevicePlace, Measured
    from gemmahub.recommend.speed import Speed
    from gemmahub.registry.variants import Models, Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.size_quality import SizedVariant


class Companion(NamedTuple):
    """A file that belongs to a model: its name, its kind as in
    :data:`gemmahub.formats.kinds.WHAT`, and its size in bytes where it was read."""

    name: str
    kind: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One variant. ``model`` is what variants of one model have in common.

    ``share`` is what it takes with ``run``'s defaults of what is free at the tightest place, above
    1 where it does not fit; None where it is not known. ``recommendation`` is None where nothing of
    the variant fits. ``gated``: its licence must be accepted before a pull. ``measured`` is what
    was measured of it on this machine, ``companions`` what lies here and belongs to it.
    """

    variant: Variant
    model: str
    fit: Fit
    quality: Quality
    share: float | None = None
    recommendation: Recommendation | None = None
    gated: bool = False
    measured: MeasuredFigures = UNMEASURED
    companions: tuple[Companion, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether it can be run now: it lies on this machine, or a server has it."""
        return self.variant.runnable

    @property
    def obstacle(self) -> str:
        """Why it cannot answer here, whatever the memory; "" where it can."""
        return self.variant.what if self.variant.embeds else self.variant.problem

    @property
    def rank(self) -> int | None:
        """Its place among all variants that fit, 1 for the best."""
        return self.recommendation.rank if self.recommendation else None

    @property
    def speed(self) -> Speed | None:
        """The decode speed with the recommended settings, tokens a second."""
        return self.recommendation.plan.speed if self.recommendation else None

    @property
    def speed_is_measured(self) -> bool:
        """Whether that speed was measured on this machine; otherwise it is an estimate."""
        return bool(self.recommendation and self.recommendation.plan.candidate.measured)

    @property
    def sized(self) -> SizedVariant | None:
        """It as a dot of size against quality; None where its size is not known."""
        recommended = self.recommendation is not None
        return sized(self.variant, self.fit, self.quality, self.measured, recommended=recommended)

    @property
    def is_slow(self) -> bool:
        """Whether it fits, and is too slow for what it is wanted for."""
        return self.recommendation is not None and not self.recommendation.plan.usable


@dataclass(frozen=True, slots=True)
class ModelOverview:
    """All rows, recommended ones first, and the machine they are for.

    ``problem`` says why there are no recommendations, empty where there are some.
    """

    machine: Machine
    rows: tuple[ModelRow, ...]
    broken: tuple[BrokenEntry, ...] = ()
    problem: str = ""


def owned(models: Models) -> list[tuple[Variant, Variant | None]]:
    """What lies here beside models, each with the model that it belongs to."""
    from gemmahub.registry.companions import owner_of

    return [(each, owner_of(each, models.variants)) for each in models.companions]


def companions_of(
    variant: Variant, beside: Iterable[tuple[Variant, Variant | None]]
) -> tuple[Companion, ...]:
    """What belongs to a model, of what :func:`owned` found: its projector is the first."""
    from gemmahub.formats.kinds import PROJECTOR

    named = {
        place.path: Companion(each.artifacts[0].path.name, each.kind, each.size_bytes)
        for each, owner in beside
        if owner is variant
        for place in each.artifacts
    }
    own = [place.projector for place in variant.artifacts if place.projector]
    plain = (Companion(path.name, PROJECTOR, _size_of(path)) for path in own if path not in named)
    return tuple(dict.fromkeys((*plain, *named.values())))


class LibraryReading:
    """One reading of the stores and the catalogue: every model that is here or known, with what of
    it does not depend on a machine. Overviews for a machine, this one with more or less memory
    free, or other wishes are made of it without reading anything again.

    ``again`` asks the stores again.
    """

    def __init__(self, here: Installation, *, again: bool = False) -> None:
        from gemmahub.planning.candidates import candidates_of

        if again:
            here.look_again()
        self._here = here
        self._catalog = here.registry.catalog
        self._models = here.registry.models(catalogue=True)
        self._companions = self._beside()
        self._memory = [_memory_of(variant, self._catalog) for variant in self._models.variants]
        self._known = {variant.reference: variant for variant in self._models.variants}
        self._candidates = candidates_of(here.registry.installed().variants, self._catalog)

    def overview(
        self, wanted: Requirements | None = None, machine: Machine | None = None
    ) -> ModelOverview:
        """All of it for a machine, by default this one as it is now.

        ``wanted.limit``, ``model`` and ``installed`` are not regarded: the overview shows all.
        """
        from gemmahub.planning.model import places_of

        here = self._here
        machine = machine or here.machine_for()
        measured = here.measured(machine)
        places: tuple[DevicePlace, ...] = ()
        problem = ""
        found: dict[str, Recommendation] = {}
        try:
            places = places_of(machine)
            found = self._recommendations(machine, places, wanted or Requirements(), measured)
        except (DoesNotFit, NotFound) as error:
            problem = error.in_full
        except GemmahubError as error:  # what is free is not known
            problem = error.message
        variants = self._models.variants
        machines = [place.machine for place in places]
        rows = []
        for variant, memory, companions, figures in zip(
            variants, self._memory, self._companions, figures_of(here, variants, machine),
            strict=True,
        ):  # fmt: skip
            fit, share = Fit.unknown(problem), None
            if machines:
                fit, share = _fit(variant, memory, machines)
            rows.append(
                ModelRow(
                    variant=variant,
                    model=self._model_name(variant),
                    fit=fit,
                    quality=self._quality(variant, measured.losses.get(variant.reference)),
                    share=share,
                    recommendation=found.get(variant.reference),
                    gated=self._is_gated(variant),
                    measured=figures,
                    companions=companions,
                )
            )
        rows.sort(key=_order)
        return ModelOverview(machine, tuple(rows), self._models.broken, problem)

    def _beside(self) -> list[tuple[Companion, ...]]:
        beside = owned(self._models)
        return [companions_of(variant, beside) for variant in self._models.variants]

    def _model_name(self, variant: Variant) -> str:
        model = self._catalog.model(variant.reference.partition(":")[0])
        return model.name if model else variant.name

    def _quality(self, variant: Variant, loss: Loss | None) -> Quality:
        from gemmahub.recommend.quality import quality_of

        precision = variant.precision
        return quality_of(
            self._catalog.model(variant.reference.partition(":")[0]),
            precision.label,
            precision.training.value,
            stated=precision.stated,
            measured=loss,
        )

    def _is_gated(self, variant: Variant) -> bool:
        from gemmahub.planning.model import catalogued

        entry = catalogued(variant, self._catalog)
        return bool(entry and entry[1].gated)

    def _recommendations(
        self,
        machine: Machine,
        places: Sequence[DevicePlace],
        wanted: Requirements,
        measured: Measured,
    ) -> dict[str, Recommendation]:
        """Recommendations by reference. Raises: DoesNotFit; NotFound."""
        from gemmahub.planning.recommending import free_on_disk, recommended
        from gemmahub.recommend.ranking import recommend

        every = replace(wanted, every_variant=True, model=None, installed=False, limit=None)
        candidates = [
            replace(
                each,
                measured=measured.speeds.get(each.reference),
                loss=measured.losses.get(each.reference),
            )
            for each in self._candidates
        ]
        ranking = recommend(candidates, places, every, free_on_disk(machine))
        found = recommended(ranking, machine, self._known.__getitem__)
        return {each.variant.reference: each for each in found}


def _memory_of(variant: Variant, catalog: Catalog) -> MemoryModel | Fit:
    """What memory depends on, or why whether it fits is not known."""
    from gemmahub.planning import model_of

    if variant.problem:
        return Fit.not_loadable(variant.problem)
    try:
        return model_of(variant, catalog)
    except (GemmahubError, OSError) as error:
        return Fit.unknown(one_line(str(error)))


def _fit(
    variant: Variant, memory: MemoryModel | Fit, places: Sequence[MachineMemory]
) -> tuple[Fit, float | None]:
    """Whether it fits, and the share that it takes with the settings of ``gemmahub run``."""
    from gemmahub.planning.fit import fit_in

    if isinstance(memory, Fit):
        return memory, None
    try:
        context = min(memory[0].context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
        share = min(_share(Planner(variant, memory, place).memory(context)) for place in places)
        return fit_in(memory, places), share
    except (GemmahubError, OSError) as error:
        return Fit.unknown(one_line(str(error))), None


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _share(plan: MemoryPlan) -> float:
    """What is taken of what is free, at the tightest place that is used."""
    shares = [
        place.total_bytes / place.free_bytes if place.free_bytes else 2.0
        for place in plan.places
        if place.total_bytes
    ]
    worst = max(shares, default=0.0)
    # Places that share their memory can fit one by one and not together.
    return worst if plan.fits else max(worst, 1.01)


def _order(row: ModelRow) -> tuple[bool, int, bool, int, str]:
    """Recommended ones by rank, then what is here, then by size."""
    size = row.variant.size_bytes
    return (
        row.rank is None,
        row.rank or 0,
        not row.installed,
        -(size or 0) if row.installed else size or 0,
        row.variant.reference,
    )
