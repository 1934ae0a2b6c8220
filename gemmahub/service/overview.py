"""The use case: every model that is here or known, with fit, speed, rank and what runs it.

A row answers at a glance what a person asks of a model; a
:class:`~gemmahub.service.planner.Planner` answers again and again what other settings would take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gemmahub.errors import DoesNotFit, GemmahubError, NotFound
from gemmahub.planning.fit import Fit
from gemmahub.recommend.goals import Requirements
from gemmahub.recommend.prompt import SHORT
from gemmahub.service.abilities import abilities_of, is_base
from gemmahub.service.companions import companions_of, owned
from gemmahub.service.measured import UNMEASURED, MeasuredFigures, figures_of
from gemmahub.service.planner import Planner
from gemmahub.service.plans import DEFAULT_CONTEXT
from gemmahub.service.size_quality import sized
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.catalog.records import Catalog, Model
    from gemmahub.engines.contract import BrokenEntry
    from gemmahub.hardware.records import Machine
    from gemmahub.memory import MachineMemory, MemoryModel, MemoryPlan
    from gemmahub.planning.recommending import Recommendation
    from gemmahub.recommend.explanation import ScorePart
    from gemmahub.recommend.prompt import Wait
    from gemmahub.recommend.quality import Loss, Quality
    from gemmahub.recommend.records import DevicePlace, Measured
    from gemmahub.recommend.speed import Speed
    from gemmahub.registry.variants import Variant
    from gemmahub.service.companions import Companion
    from gemmahub.service.installation import Installation
    from gemmahub.service.size_quality import SizedVariant


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One variant. ``model`` is what variants of one model have in common.

    ``share`` is what it takes with ``run``'s defaults of what is free at the tightest place, above
    1 where it does not fit; None where it is not known. ``recommendation`` is None where nothing of
    the variant fits. ``gated``: its licence must be accepted before a pull. ``measured`` is what
    was measured of it on this machine, ``companions`` what lies here and belongs to it. ``memory``
    is the plan with the recommended settings, else with ``run``'s defaults. ``abilities`` are of
    :data:`gemmahub.service.abilities.ABILITIES`; a ``base`` model continues a text.
    ``download_seconds`` is what getting it takes at the last measured rate, None where none was
    measured, or it is here.
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
    memory: MemoryPlan | None = None
    abilities: tuple[str, ...] = ()
    base: bool = False
    download_seconds: float | None = None

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
    def first_token(self) -> Wait | None:
        """The wait for the first token of an answer to a short prompt, seconds."""
        return self.recommendation.plan.first_token if self.recommendation else None

    @property
    def measured_prompt_seconds(self) -> float | None:
        """The same as it was measured here, by how fast prompts were read into an empty cache."""
        depths = self.measured.speed.depths if self.measured.speed else ()
        reading = depths[0].prefill if depths else None
        return SHORT / reading.median if reading and reading.median > 0 else None

    @property
    def prompt_seconds(self) -> float | None:
        """The measured wait, else the estimate; None where neither is known."""
        wait = self.first_token
        return self.measured_prompt_seconds or (wait.likely if wait else None)

    @property
    def parts(self) -> tuple[ScorePart, ...]:
        """Its score, explained; none where nothing is recommended."""
        return self.recommendation.parts if self.recommendation else ()

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
        from gemmahub.service.download_speed import last_rate

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
        rate = last_rate(here)
        rows = []
        for variant, memory, companions, figures in zip(
            variants, self._memory, self._companions, figures_of(here, variants, machine),
            strict=True,
        ):  # fmt: skip
            fit, plan = Fit.unknown(problem), None
            if machines:
                fit, plan = _fit(variant, memory, machines)
            recommendation = found.get(variant.reference)
            model = self._model(variant)
            rows.append(
                ModelRow(
                    variant=variant,
                    model=model.name if model else variant.name,
                    fit=fit,
                    quality=_quality(variant, model, measured.losses.get(variant.reference)),
                    share=None if plan is None else _share(plan),
                    recommendation=recommendation,
                    gated=self._is_gated(variant),
                    measured=figures,
                    companions=companions,
                    memory=recommendation.plan.memory if recommendation else plan,
                    abilities=abilities_of(variant, model, self._catalog),
                    base=is_base(model),
                    download_seconds=_download_seconds(variant, rate),
                )
            )
        rows.sort(key=_order)
        return ModelOverview(machine, tuple(rows), self._models.broken, problem)

    def _beside(self) -> list[tuple[Companion, ...]]:
        beside = owned(self._models)
        return [companions_of(variant, beside) for variant in self._models.variants]

    def _model(self, variant: Variant) -> Model | None:
        return self._catalog.model(variant.reference.partition(":")[0])

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


def _quality(variant: Variant, model: Model | None, loss: Loss | None) -> Quality:
    from gemmahub.recommend.quality import quality_of

    precision = variant.precision
    return quality_of(
        model,
        precision.label,
        precision.training.value,
        stated=precision.stated,
        measured=loss,
    )


def _download_seconds(variant: Variant, rate: float | None) -> float | None:
    if not rate or not variant.size_bytes or variant.runnable:
        return None
    return variant.size_bytes / rate


def _fit(
    variant: Variant, memory: MemoryModel | Fit, places: Sequence[MachineMemory]
) -> tuple[Fit, MemoryPlan | None]:
    """Whether it fits, and its plan with the settings of ``gemmahub run``, on the machine of
    which it takes the smallest share."""
    from gemmahub.planning.fit import fit_in

    if isinstance(memory, Fit):
        return memory, None
    try:
        context = min(memory[0].context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
        plans = [Planner(variant, memory, place).memory(context) for place in places]
        return fit_in(memory, places), min(plans, key=_share)
    except (GemmahubError, OSError) as error:
        return Fit.unknown(one_line(str(error))), None


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
