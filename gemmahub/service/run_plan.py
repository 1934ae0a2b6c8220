"""What ``run`` plans by itself before it loads a model: devices, and room for what drafts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError
from gemmahub.service.adapters import with_adapters
from gemmahub.service.drafting import draft_model

if TYPE_CHECKING:
    from gemmahub.engines.contract import Backend, Settings
    from gemmahub.memory import MachineMemory, MemoryModel, MemorySettings
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


def devices_for(
    here: Installation, variant: Variant, settings: Settings, engine: Backend
) -> dict[str, str]:
    """Which GPUs to use, where the engine by itself would take others than a plan does."""
    from gemmahub.engines.option_values import device_options
    from gemmahub.planning.devices import told

    if variant.served is not None or not device_options(engine, ("any",)):
        return {}
    if len(here.hardware().devices) + len(here.workers) < 2:  # nothing to choose, nor to load
        return {}
    try:
        _, _, place = _planned(here, variant, settings)
    except GemmahubError:  # what cannot be planned runs as the engine likes
        return {}
    return device_options(engine, told(here.as_used(), place.names))


def beside_drafter(here: Installation, variant: Variant, settings: Settings) -> Settings:
    """Recommended settings with as much context as fits beside the drafter, which the
    recommendation did not count."""
    from gemmahub.memory import largest_context

    if settings.drafter is None:
        return settings
    try:
        model, wanted, place = _planned(here, variant, settings)
    except GemmahubError:  # said by the engine where it refuses
        return settings
    fitting = largest_context(*model, wanted, place, limit=wanted.context)
    return replace(settings, context=fitting) if fitting else settings


def _planned(
    here: Installation, variant: Variant, settings: Settings
) -> tuple[MemoryModel, MemorySettings, MachineMemory]:
    """Raises: GemmahubError for what cannot be planned."""
    from gemmahub.memory import MemorySettings
    from gemmahub.planning import model_of
    from gemmahub.planning.model import place_for
    from gemmahub.service.plans import DEFAULT_CONTEXT

    model = with_adapters(model_of(variant, here.registry.catalog), variant, settings.adapters)
    trained = model[0].context_length or DEFAULT_CONTEXT
    wanted = MemorySettings(
        settings.context or min(trained, DEFAULT_CONTEXT),
        settings.cache_type_k,
        settings.cache_type_v,
        gpu_layers=settings.gpu_layers,
        experts_in_memory=settings.experts_in_memory or 0,
        cache_in_memory=settings.cache_in_memory,
        tensor_split=settings.tensor_split,
        drafter=None if settings.drafter is None else draft_model(variant, settings.drafter),
    )
    return model, wanted, place_for(here.as_used(), model, wanted, None)
