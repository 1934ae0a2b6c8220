"""The use case: what a model takes of the memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Settings
from gemmahub.errors import BackendMissing, GemmahubError, UsageError
from gemmahub.precision.mix import total_bytes
from gemmahub.service.adapters import adapters_of, with_adapters
from gemmahub.service.cluster import WantedCluster, cluster_plan
from gemmahub.service.drafting import (
    check_draft_options,
    chosen_drafter,
    draft_model,
    drafts_here,
)
from gemmahub.service.purpose import check_is_model, check_loadable
from gemmahub.text import format_bytes

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import Adapter, OnProgress
    from gemmahub.hardware.records import Machine
    from gemmahub.memory import MachineMemory, MemorySettings
    from gemmahub.planning import Plan
    from gemmahub.planning.header import Fetch, Header
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation

DEFAULT_CONTEXT: Final = 8192
"""Tokens of context that a plan is made for when nothing is said: what ``run`` uses."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What a plan is made for. Sizes as people write them: ``24GiB``, and a ``machine`` as they
    describe it (:mod:`gemmahub.hardware.described`); None means what is here.

    ``cache_type_k`` and ``cache_type_v`` None are as ``cache_type``, ``outputs`` None is one row of
    logits for each parallel sequence. ``adapters`` are ``FILE`` or ``FILE=SCALE``. ``drafter``
    is a file that drafts, ``draft`` whether a known one does; None: where ``run`` would let it.
    ``gpus`` in each of ``nodes`` machines hold the model together. ``exact`` asks the engine,
    ``verify`` loads the model. ``tuned``: what ``bench --tune`` found on
    this machine stands in for settings that nobody gave.
    """

    context: int | None = None
    cache_type: str = "f16"
    cache_type_k: str | None = None
    cache_type_v: str | None = None
    flash_attention: bool = True
    swa_full: bool = False
    gpu_layers: int | None = None
    experts_in_memory: int = 0
    cache_in_memory: bool = False
    tensor_split: tuple[float, ...] = ()
    ubatch: int = 512
    parallel: int = 1
    outputs: int | None = None
    image: bool = False
    adapters: tuple[str, ...] = ()
    draft: bool | None = None
    drafter: Path | None = None
    memory: str | None = None
    ram: str | None = None
    machine: str | None = None
    gpus: int | None = None
    nodes: int | None = None
    exact: bool = False
    verify: bool = False
    tuned: bool = True


def plan(
    here: Installation,
    reference: str,
    options: PlanOptions | None = None,
    on_progress: OnProgress | None = None,
) -> Plan:
    """What a variant takes on this machine, or on one with the memory that was given.

    ``on_progress`` hears of the load that ``verify`` asks for.

    Raises: UsageError, NotFound, GemmahubError for a model whose memory is not known; NetworkError
    and Gated for one that is to be read from the hub; DoesNotFit for a load that would not;
    BackendError when the engine is asked and refuses, BackendMissing where one has to be asked and
    none is here.
    """
    from gemmahub.planning import images_of, machine_of, make_plan, model_of
    from gemmahub.planning.devices import machine_remarks
    from gemmahub.planning.model import place_for
    from gemmahub.service.remote import look

    options = options or PlanOptions()
    if here.workers and options.exact:
        raise UsageError(
            "--exact cannot include workers on other machines",
            "leave it out; --verify loads the model with them",
        )
    machine = planned_machine(here, options)
    looked = look(here, reference, machine)
    variant = looked.variant
    check_is_model(variant)
    check_loadable(variant)
    wanted = WantedCluster(options.gpus, options.nodes)
    if wanted.is_asked:
        if options.verify:
            raise UsageError("a cluster can be planned, but not loaded", "leave out --verify")
        settings = _memory_settings(options, variant.architecture.get("context_length") or 0)
        with _header(here, variant, looked.fetch_header) as header:
            return cluster_plan(here, variant, settings, wanted, machine, header)
    if options.tuned and not machine.simulated:
        options = _tuned(here, variant, options)
    place = machine_of(machine)
    if variant.served is None and not _modelled(variant):
        plan = _asked(here, variant, options, place, looked.fetch_header)
        return _verify(here, plan, options, on_progress) if options.verify else plan
    try:
        model = model_of(variant, here.registry.catalog)
    except GemmahubError as error:
        if type(error) is not GemmahubError or not _looked_at(variant):
            raise
        if options.exact:
            plan = _asked(here, variant, options, place, looked.fetch_header)
            return _verify(here, plan, options, on_progress) if options.verify else plan
        raise GemmahubError(f"{error.message}{_weights(variant)}", error.hint) from None
    model = with_adapters(model, variant, _adapters(options))
    images = images_of(variant, here.registry.catalog)
    if options.image and images is None:
        raise UsageError(f"no image projector of {variant.reference} is known", "leave out --image")
    drafter = _drafter(here, variant, options)
    settings = replace(
        _memory_settings(options, model[0].context_length),
        drafter=None if drafter is None else draft_model(variant, drafter),
    )
    machine = _with_engine(here, machine, variant, options, settings)
    place = place_for(machine, model, settings, images if options.image else None)
    plan = make_plan(variant, model, settings, place, images=images, with_images=options.image)
    plan = replace(plan, drafter=drafter, remarks=machine_remarks(machine))
    if options.exact:
        plan = _exact(here, plan, place, looked.fetch_header)
    return _verify(here, plan, options, on_progress) if options.verify else plan


def _tuned(here: Installation, variant: Variant, options: PlanOptions) -> PlanOptions:
    """The options with what was found for this model and the engine that would run it."""
    from gemmahub.service.tuned import taken_from_tuning

    try:
        engine = here.choose(variant.artifacts[0]).offer.backend.name if variant.artifacts else ""
    except BackendMissing:
        return options
    settings = Settings(
        cache_type_k=options.cache_type_k or options.cache_type,
        cache_type_v=options.cache_type_v or options.cache_type,
        flash_attention=options.flash_attention,
        ubatch=options.ubatch,
        gpu_layers=options.gpu_layers,
        experts_in_memory=options.experts_in_memory or None,
        drafter=options.drafter,
    )
    found = taken_from_tuning(here, variant, engine, settings, without=("threads",))
    return replace(options, **found)


def _drafter(here: Installation, variant: Variant, options: PlanOptions) -> Path | None:
    """Raises: NotFound where one is wanted and none is here; UsageError."""
    wanted = options.draft
    if options.exact and (wanted or options.drafter):
        raise UsageError("--exact cannot include a drafter", "leave out --exact")
    check_draft_options(wanted, options.drafter)
    settings = Settings(gpu_layers=options.gpu_layers, drafter=options.drafter)
    if options.exact or (wanted is None and not drafts_here(here, variant)):
        wanted = None if options.drafter else False
    return chosen_drafter(here, variant, settings, wanted)[0]


def _adapters(options: PlanOptions) -> tuple[Adapter, ...]:
    """Raises: NotFound, UsageError."""
    if options.adapters and (options.exact or options.verify):
        raise UsageError("--exact cannot include an adapter", "leave out --exact and --verify")
    return adapters_of(options.adapters)


def planned_machine(here: Installation, options: PlanOptions) -> Machine:
    """The machine that a plan is for. Raises: UsageError."""
    if options.verify and (options.memory or options.ram or options.machine):
        raise UsageError(
            "--verify loads the model on this machine, not on another one",
            "leave out --memory, --ram and --machine",
        )
    if options.machine:
        return here.machine_for(options.machine, options.memory, options.ram)
    return here.with_sizes(options.memory, options.ram)


def _with_engine(
    here: Installation,
    machine: Machine,
    variant: Variant,
    options: PlanOptions,
    settings: MemorySettings,
) -> Machine:
    """The machine with the engine that would run the variant, or that is asked."""
    from gemmahub.engines.contract import Artifact
    from gemmahub.service.engine_here import engine_here

    if variant.served is not None:
        return machine
    artifact = next(iter(variant.artifacts), Artifact(variant.format, Path(variant.reference)))
    needs = "dry_load" if _needs_dry_load(options, settings) else ""
    needs = needs or ("drafter" if settings.drafter else "")
    return replace(machine, engine=engine_here(here.choose, here.plugins_manager, artifact, needs))


def _modelled(variant: Variant) -> bool:
    """Whether the formulas may know what it takes; of what is not looked at yet, they might."""
    from gemmahub.memory import MODELLED_FORMATS

    return variant.format in MODELLED_FORMATS or not _looked_at(variant)


def _looked_at(variant: Variant) -> bool:
    """Whether a file of it was read, here or on the hub."""
    return bool(variant.artifacts or variant.memory)


def _asked(
    here: Installation,
    variant: Variant,
    options: PlanOptions,
    place: MachineMemory,
    fetch: Fetch | None,
) -> Plan:
    """The plan of the engine alone, for a format or an architecture that the formulas do not
    know."""
    from gemmahub.planning.engine_plan import engine_plan

    if options.image:
        raise UsageError("images of this model are not counted", "leave out --image")
    settings = _memory_settings(options, variant.architecture.get("context_length") or 0)
    with _header(here, variant, fetch) as header:
        try:
            offer = _asked_one(here, variant, header).offer
        except BackendMissing as error:
            message = (
                f"only its engine knows the memory use of a {variant.format} model: {error.message}"
            )
            raise BackendMissing(f"{message}{_weights(variant)}", error.hint) from None
        return engine_plan(variant, settings, place, offer, header)


def _asked_one(here: Installation, variant: Variant, header: Header) -> BackendChoice:
    """The engine that is asked; named as the model is. Raises: BackendMissing."""
    artifact = header.artifact
    if variant.artifacts:
        artifact = replace(artifact, reference=variant.reference)
    return here.choose(artifact, needs="dry_load", header=variant.header)


def _weights(variant: Variant) -> str:
    """What is known of a model where no engine can be asked, as the end of a message."""
    size = total_bytes(variant.precision.mix) if variant.precision.mix else None
    if size is None:
        return ""
    return f"; its weights alone need {format_bytes(size)}, the rest is unknown"


def _exact(here: Installation, plan: Plan, place: MachineMemory, fetch: Fetch | None) -> Plan:
    from gemmahub.planning.dry_load import dry_load_plan

    with _header(here, plan.variant, fetch) as header:
        offer = _asked_one(here, plan.variant, header).offer
        return dry_load_plan(plan, offer, header, place)


def _header(
    here: Installation, variant: Variant, fetch: Fetch | None
) -> AbstractContextManager[Header]:
    """What an engine can be asked with: the model, or its header from afar or the catalogue."""
    from gemmahub.planning.header import header_of
    from gemmahub.planning.model import catalogued
    from gemmahub.service.remote import RemoteModel

    entry = catalogued(variant, here.registry.catalog)
    if fetch is None and entry is not None:
        hub, name = here.hub_at_once, entry[1].reference
        fetch = lambda folder: RemoteModel(hub, hub.find(name)).write_header(folder)  # noqa: E731
    return header_of(variant, here.registry.catalog, fetch)


def _verify(
    here: Installation, plan: Plan, options: PlanOptions, on_progress: OnProgress | None
) -> Plan:
    """By the engine that runs the model; what was asked of another one is held against that one."""
    from gemmahub.planning.verify import loadable, verify

    artifact = loadable(plan)
    needs = "dry_load" if _needs_dry_load(options, plan.memory.settings) else ""
    needs = needs or ("remote_workers" if here.workers else "drafter" if plan.drafter else "")
    return verify(plan, here.choose(artifact, needs=needs).offer, on_progress, here.workers)


def _needs_dry_load(options: PlanOptions, settings: MemorySettings) -> bool:
    """Whether an engine is asked, or rows are wanted that only such a one can have."""
    return options.exact or settings.outputs_max != settings.parallel


def _memory_settings(options: PlanOptions, trained: int) -> MemorySettings:
    """The settings as gemmahub's backend for llama.cpp has them: a batch is a ubatch.

    Raises: UsageError for what llama.cpp refuses.
    """
    from gemmahub.memory import MemorySettings

    return MemorySettings(
        context=options.context or min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
        cache_type_k=options.cache_type_k or options.cache_type,
        cache_type_v=options.cache_type_v or options.cache_type,
        flash_attention=options.flash_attention,
        full_swa_cache=options.swa_full,
        ubatch=options.ubatch,
        batch=options.ubatch,
        parallel=options.parallel,
        outputs_max=options.parallel if options.outputs is None else options.outputs,
        gpu_layers=options.gpu_layers,
        experts_in_memory=options.experts_in_memory,
        cache_in_memory=options.cache_in_memory,
        tensor_split=options.tensor_split,
    )
