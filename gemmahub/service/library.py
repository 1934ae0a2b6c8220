"""The use case: every model that is here or known, with fit, speed, rank and what runs it.

A row answers at a glance what a person asks of a model; a :class:`Planner` answers again and again
what other settings would take.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from gemmahub.errors import DoesNotFit, GemmahubError, NotFound
from gemmahub.planning.fit import Fit
from gemmahub.service.advice import RecommendOptions, machine_for
from gemmahub.service.plans import DEFAULT_CONTEXT
from gemmahub.text import one_line
from gemmahub.text.command import command_to_run

if TYPE_CHECKING:
    from gemmahub.catalog.records import Catalog
    from gemmahub.engines.contract import BrokenEntry
    from gemmahub.hardware.records import Machine
    from gemmahub.memory import ImageMemory, MachineMemory, MemoryModel, MemoryPlan, MemorySettings
    from gemmahub.planning import Plan
    from gemmahub.planning.advice import Advised
    from gemmahub.recommend.quality import Quality
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


_LEAST: Final = 1024
_BATCH: Final = 512  # gemmahub's backend makes a batch as long as a ubatch


@dataclass(frozen=True, slots=True)
class LibraryRow:
    """One variant. ``model`` is what variants of one model have in common.

    ``needed_bytes`` is what it takes with ``run``'s defaults, all places together, and ``share``
    that part of what is free at the tightest place, above 1 where it does not fit; None where it is
    not known. ``advised`` is the recommendation of this variant, None where nothing of it fits;
    ``best``: it is the best of its model. ``gated``: its licence must be accepted before a pull.
    """

    variant: Variant
    model: str
    fit: Fit
    quality: Quality
    needed_bytes: int | None = None
    share: float | None = None
    advised: Advised | None = None
    best: bool = False
    gated: bool = False

    @property
    def installed(self) -> bool:
        """Whether it lies on this machine."""
        return bool(self.variant.artifacts)

    @property
    def rank(self) -> int | None:
        """Its place among all variants that fit, 1 for the best."""
        return self.advised.recommendation.rank if self.advised else None

    @property
    def tokens_per_second(self) -> float | None:
        """The likely decode speed with the recommended settings."""
        speed = self.advised.recommendation.choice.speed if self.advised else None
        return speed.likely if speed else None


@dataclass(frozen=True, slots=True)
class Library:
    """All rows, recommended ones first, and the machine they are for.

    ``problem`` says why there are no recommendations, empty where there are some.
    """

    machine: Machine
    rows: tuple[LibraryRow, ...]
    broken: tuple[BrokenEntry, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class Planner:
    """A variant on a machine, planned by formula as often as wanted: about a millisecond each.

    ``gpu_layers`` as in :class:`~gemmahub.memory.MemorySettings`.
    """

    variant: Variant
    model: MemoryModel
    machine: MachineMemory
    images: ImageMemory | None = None
    gpu_layers: int | None = None
    _largest: dict[str, int] = field(default_factory=dict)

    @property
    def trained_context(self) -> int:
        """Tokens that the model was trained for, 0 where it does not say."""
        return self.model[0].context_length

    def largest_context(self, cache_type: str) -> int:
        """The largest context that fits with that cache, 0 if none does."""
        from gemmahub.memory import largest_context

        if cache_type not in self._largest:
            architecture, weights = self.model
            settings = self._settings(_LEAST, cache_type)
            self._largest[cache_type] = largest_context(
                architecture, weights, settings, self.machine
            )
        return self._largest[cache_type]

    def plan(self, context: int, cache_type: str = "f16") -> Plan:
        """What these settings take."""
        from gemmahub.planning import Plan

        return Plan(
            variant=self.variant,
            memory=self.memory(context, cache_type),
            largest_context=self.largest_context(cache_type),
            trained_context=self.trained_context,
            images=self.images,
        )

    def memory(self, context: int, cache_type: str = "f16") -> MemoryPlan:
        """The memory alone."""
        from gemmahub.memory import plan_memory

        architecture, weights = self.model
        settings = self._settings(context, cache_type)
        return plan_memory(architecture, weights, settings, self.machine)

    def steps(self, cache_type: str) -> tuple[int, ...]:
        """Contexts worth choosing: powers of two and their middles from 1,024 to the trained
        context, and the largest that fits."""
        top = self.trained_context or 131_072
        found = {top}
        power = _LEAST
        while power <= top:
            found |= {power, min(top, power * 3 // 2)}
            power *= 2
        if largest := self.largest_context(cache_type):
            found.add(min(top, largest))
        return tuple(sorted(found))

    def command(self, context: int, cache_type: str = "f16") -> str:
        """The command that runs it with these settings."""
        return command_to_run(self.variant.reference, context, cache_type, self.gpu_layers)

    def _settings(self, context: int, cache_type: str) -> MemorySettings:
        from gemmahub.memory import MemorySettings

        return MemorySettings(
            context, cache_type, cache_type, batch=_BATCH, gpu_layers=self.gpu_layers
        )


def make(here: Installation, options: RecommendOptions) -> Library:
    """Everything that is here or known, for this machine or for another one.

    ``options.limit``, ``model`` and ``installed`` are not regarded: the library shows all.

    Raises: UsageError for a machine that there is none of.
    """
    machine = machine_for(here, options)
    models = here.registry.models(catalogue=True)
    advice, problem = _advice(here, machine, options)
    place, reason = _place(machine)
    rows = [_row(v, here.registry.catalog, place, reason, advice) for v in models.variants]
    rows.sort(key=_order)
    return Library(machine, tuple(_with_best(rows)), models.broken, problem)


def planner(
    here: Installation, row: LibraryRow, machine: Machine, gpu_layers: int | None = None
) -> Planner:
    """The planner of a row on a machine; layers as recommended unless ``gpu_layers`` says more.

    Raises: GemmahubError when the memory of the model or of the machine is not known.
    """
    from gemmahub.planning import images_of, machine_of, model_of

    catalog, place = here.registry.catalog, machine_of(machine)
    if gpu_layers is None and row.advised is not None and place.devices:
        gpu_layers = row.advised.session_settings["gpu_layers"]
    return Planner(
        row.variant,
        model_of(row.variant, catalog),
        place,
        images_of(row.variant, catalog),
        gpu_layers,
    )


def _advice(
    here: Installation, machine: Machine, options: RecommendOptions
) -> tuple[dict[str, Advised], str]:
    """Recommendations by reference, and why there are none."""
    from gemmahub.planning.advice import advise
    from gemmahub.recommend import Use, Wish

    wish = Wish(Use(options.use), options.context, not options.no_offload, every_variant=True)
    try:
        advice = advise(here.registry, machine, wish, measured=here.measured(machine))
    except (DoesNotFit, NotFound) as error:
        return {}, " · ".join(filter(None, (error.message, error.hint)))
    except GemmahubError as error:  # what is free is not known
        return {}, error.message
    return {entry.variant.reference: entry for entry in advice.entries}, ""


def _place(machine: Machine) -> tuple[MachineMemory | None, str]:
    from gemmahub.planning import machine_of

    try:
        return machine_of(machine), ""
    except GemmahubError as error:
        return None, error.message


def _row(
    variant: Variant,
    catalog: Catalog,
    place: MachineMemory | None,
    reason: str,
    advice: dict[str, Advised],
) -> LibraryRow:
    from gemmahub.planning.model import catalogued
    from gemmahub.recommend.quality import quality_of

    model = catalog.model(variant.reference.partition(":")[0])
    entry = catalogued(variant, catalog)
    precision = variant.precision
    fit, needed, share = Fit.unknown(reason), None, None
    if place is not None:
        fit, needed, share = _fit(variant, catalog, place)
    return LibraryRow(
        variant=variant,
        model=model.name if model else variant.name,
        fit=fit,
        quality=quality_of(model, precision.label, precision.training.value),
        needed_bytes=needed,
        share=share,
        advised=advice.get(variant.reference),
        gated=bool(entry and entry[1].gated),
    )


def _fit(
    variant: Variant, catalog: Catalog, place: MachineMemory
) -> tuple[Fit, int | None, float | None]:
    """Whether it fits, and what it takes with the settings of ``gemmahub run``."""
    from gemmahub.planning import model_of
    from gemmahub.planning.fit import fit_of

    try:
        model = model_of(variant, catalog)
        trained = model[0].context_length or DEFAULT_CONTEXT
        plan = Planner(variant, model, place).memory(min(trained, DEFAULT_CONTEXT))
        return fit_of(model, place), plan.total_bytes, _share(plan)
    except (GemmahubError, OSError) as error:
        return Fit.unknown(one_line(str(error))), None, None


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


def _order(row: LibraryRow) -> tuple[bool, int, bool, int, str]:
    """Recommended ones by rank, then what is here, then by size."""
    size = row.variant.size_bytes
    return (
        row.rank is None,
        row.rank or 0,
        not row.installed,
        -(size or 0) if row.installed else size or 0,
        row.variant.reference,
    )


def _with_best(rows: list[LibraryRow]) -> list[LibraryRow]:
    seen: set[str] = set()
    found = []
    for row in rows:
        best = row.rank is not None and row.model not in seen
        seen.add(row.model)
        found.append(replace(row, best=best) if best else row)
    return found
