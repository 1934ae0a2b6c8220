"""Which models are served, by which engine, and with which settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Settings
from gemmahub.errors import BackendMissing, DoesNotFit, GemmahubError, NotInstalled, UsageError
from gemmahub.service.adapters import with_adapters
from gemmahub.service.drafting import (
    check_draft_options,
    chosen_drafter,
    draft_model,
    drafter_of,
)
from gemmahub.service.purpose import check_is_model, check_words
from gemmahub.service.serving.room import Sized, Sizes, Wish, alone, together, without
from gemmahub.service.tag_parts import adapters_of_tag, left_to_clients
from gemmahub.service.tuned import taken_from_tuning
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Adapter, Artifact, Cluster
    from gemmahub.engines.manager import BackendOffer
    from gemmahub.hardware.records import Machine
    from gemmahub.memory import MachineMemory, MemoryPlan
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


_PLANNED: Final = ("cache_type_k", "cache_type_v", "gpu_layers", "experts_in_memory")
"""What serving decides by the room that is left."""


@dataclass(frozen=True, slots=True)
class ServedWith:
    """What is loaded with models. ``draft`` says whether known heads draft; None: where that was
    measured to be faster here. ``drafter`` and ``adapters`` are for a model that is served alone.
    """

    draft: bool | None = None
    drafter: Path | None = None
    adapters: tuple[Adapter, ...] = ()


@dataclass(frozen=True, slots=True)
class Offered:
    """A model that is served. ``names`` are what clients may call it, the first is what lists
    have; ``template`` is its chat template, empty where it has none. ``beside`` has the file that
    drafts for it, if one does, and its adapters; ``threads`` None are the engine's usual. A
    ``cluster`` holds it together where one is named."""

    names: tuple[str, ...]
    variant: Variant
    artifact: Artifact
    offer: BackendOffer
    sized: Sizes
    template: str
    pinned: bool = False
    beside: ServedWith = ServedWith()
    threads: int | None = None
    cluster: Cluster | None = None

    @property
    def name(self) -> str:
        """What lists have."""
        return self.names[0]

    @property
    def has_tools(self) -> bool:
        """Whether its template has tools: an engine leaves them out silently where it has not."""
        return "tools" in self.template

    @property
    def sees(self) -> bool:
        """Whether messages may have images."""
        return self.artifact.projector is not None


@dataclass(frozen=True, slots=True)
class PlannedModels:
    """Models with their plans; ``fit_together`` says whether all may be in memory at once.
    ``room`` is what was free when they were planned."""

    models: tuple[Offered, ...]
    plans: dict[str, MemoryPlan]
    wish: Wish
    room: MachineMemory
    fit_together: bool


def offered(
    here: Installation,
    references: Sequence[str],
    pinned: Sequence[str] = (),
    beside: ServedWith | None = None,
) -> tuple[Offered, ...]:
    """The models that are named, or all that are here and can be served.

    Raises: NotInstalled, BackendMissing, GemmahubError for a model that is named; NotFound for one
    without the drafter that is wanted; UsageError for a drafter or adapters of several models.
    """
    beside = beside or ServedWith()
    check_draft_options(beside.draft, beside.drafter)
    held = {here.chosen(reference)[0].reference for reference in pinned}
    found: dict[str, Offered] = {}
    named = {here.chosen(reference)[0].reference for reference in (*references, *pinned)}
    if (beside.drafter is not None or beside.adapters) and len(named) != 1:
        raise UsageError("an adapter or a drafter belongs to one model", "serve exactly that model")
    for reference in dict.fromkeys((*references, *pinned)):
        variant = here.chosen(reference)[0]
        one = _offered(here, variant, reference, beside, pinned=variant.reference in held)
        known = found.get(one.name)
        names = (*known.names, reference) if known else one.names
        found[one.name] = replace(one, names=tuple(dict.fromkeys(names)))
    if found:
        return tuple(found.values())
    for variant in here.registry.installed().variants:
        if variant.runnable and variant.served is None:
            try:
                drafter = drafter_of(here, variant) if beside.draft else None
                own = beside if not beside.draft or drafter else ServedWith(draft=False)
                found[variant.reference] = _offered(here, variant, variant.reference, own)
            except GemmahubError as error:
                here.say(f"{one_line(variant.reference)} is not served: {error.message}")
    if not found:
        raise NotInstalled(
            "this machine has no model that can be served",
            "choose one with gemmahub recommend and download it with gemmahub pull",
        )
    return tuple(found.values())


def planned(models: tuple[Offered, ...], wish: Wish, room: MachineMemory) -> PlannedModels:
    """Their plans: all of them at once where they fit, else each beside those that are pinned.

    Raises: DoesNotFit when one fits not even so.
    """
    found = together({each.name: each.sized for each in models}, wish, room)
    if found is not None:
        return PlannedModels(models, found, wish, room, fit_together=True)
    plans: dict[str, MemoryPlan] = {}
    left = room
    for each in sorted(models, key=lambda model: not model.pinned):
        plan = plans[each.name] = alone(each.sized, wish, left)
        if not plan.fits:
            raise does_not_fit(each.name, plan)
        if each.pinned:
            left = without(left, [plan])
    return PlannedModels(models, plans, wish, room, fit_together=False)


def planned_models(
    here: Installation,
    references: Sequence[str],
    beside: ServedWith,
    wish: Wish,
    room: MachineMemory,
    pinned: Sequence[str] = (),
) -> PlannedModels:
    """The models that are served, with their plans. What drafts is left out where nobody asked for
    it and something would not fit with it. Raises: as :func:`offered` and :func:`planned`."""
    models = offered(here, references, pinned, beside)
    try:
        return planned(models, wish, room)
    except DoesNotFit:
        if beside.draft or beside.drafter or not any(each.beside.drafter for each in models):
            raise
    alone = replace(beside, draft=False)
    return planned(offered(here, references, pinned, alone), wish, room)


def does_not_fit(name: str, plan: MemoryPlan) -> DoesNotFit:
    """What to raise for a model that has no room."""
    short = format_gib(-plan.headroom_bytes)
    return DoesNotFit(
        f"{one_line(name)} does not fit: it needs {format_gib(plan.total_bytes)} with "
        f"{plan.settings.context:,} tokens, {short} more than is free",
        "use a smaller --ctx-size, --cache-type q8_0, or a smaller variant",
    )


def settings_of(plan: MemoryPlan, machine: Machine, offered: Offered) -> Settings:
    """What the engine is told, so that it takes what was planned."""
    from gemmahub.engines.option_values import device_options
    from gemmahub.planning.devices import told
    from gemmahub.planning.dry_load import settings_for

    names = tuple(place.device for place in plan.places[:-1])
    devices = device_options(offered.offer.backend, told(machine, names)) if names else {}
    found = settings_for(plan.settings, plan.settings.gpu_layers, offered.offer)
    return replace(
        found,
        threads=offered.threads,
        options={**devices, **found.options},
        drafter=offered.beside.drafter,
        adapters=offered.beside.adapters,
    )


def _offered(
    here: Installation,
    variant: Variant,
    reference: str,
    beside: ServedWith,
    *,
    pinned: bool = False,
) -> Offered:
    from gemmahub.planning import images_of, model_of

    if variant.served is not None:
        raise UsageError(
            f"{one_line(variant.reference)} is already served by {variant.served.backend}",
            f"use the address of that server: {variant.served.place or 'its own'}",
        )
    if not variant.runnable:
        raise NotInstalled(
            f"{variant.reference} is not on this machine",
            f"gemmahub pull {variant.reference} downloads it ({variant.download})",
            variant.reference,
        )
    check_is_model(variant)
    check_words(variant)
    artifact, offer = _served_by(here, variant)
    catalog = here.registry.catalog
    images = images_of(variant, catalog) if artifact.projector else None
    unwanted = ("drafter",) if beside.draft is not None or beside.drafter is not None else ()
    given = (*_PLANNED, *unwanted)
    tuned = taken_from_tuning(here, variant, offer.backend.name, Settings(), without=given)
    threads = tuned.pop("threads", None)
    beside = replace(beside, drafter=tuned.pop("drafter", beside.drafter))
    beside = replace(beside, drafter=_drafter(here, variant, beside, offer))
    beside = replace(beside, adapters=(*adapters_of_tag(offer, artifact), *beside.adapters))
    if note := left_to_clients(artifact):
        here.say(note)
    if beside.adapters and "adapters" not in offer.backend.capabilities:
        raise BackendMissing(f"{offer.backend.name} has no adapters", "leave out --adapter")
    model = with_adapters(model_of(variant, catalog), variant, beside.adapters)
    drafts = None if beside.drafter is None else draft_model(variant, beside.drafter)
    return Offered(
        tuple(dict.fromkeys((variant.reference, reference))),
        variant,
        replace(artifact, name=variant.reference),
        offer,
        Sized(model, images, drafts, **tuned),
        template_of(artifact),
        pinned,
        beside,
        threads,
    )


def _drafter(
    here: Installation, variant: Variant, beside: ServedWith, offer: BackendOffer
) -> Path | None:
    """What drafts for it. Raises: NotFound where one is wanted and none is here; BackendMissing."""
    wanted = beside.draft
    if "drafter" not in offer.backend.capabilities:
        if wanted or beside.drafter is not None:
            raise BackendMissing(f"{offer.backend.name} has no drafter", "leave out --draft")
        wanted = False
    return chosen_drafter(here, variant, Settings(drafter=beside.drafter), wanted)[0]


def _served_by(here: Installation, variant: Variant) -> tuple[Artifact, BackendOffer]:
    """The first of the places where a model lies from which an engine can serve it."""
    failure: BackendMissing | None = None
    for artifact in variant.artifacts:
        try:
            return artifact, here.choose(artifact, needs="serve", header=variant.header).offer
        except BackendMissing as error:
            failure = failure or error
    assert failure is not None
    raise failure


def template_of(artifact: Artifact) -> str:
    """The chat template of a model, empty where it has none."""
    from gemmahub.formats.detect import open_model

    return open_model(artifact.files[0] if artifact.files else artifact.path).chat_template or ""
