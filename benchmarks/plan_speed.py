"""How long plans by formula take: one, and all that a recommendation needs.

Run: ``python benchmarks/plan_speed.py`` (two seconds). "First" is the first plan of an architecture
in a process, for which its graph is built; the others have contexts that were not planned before.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.memory import (
    DeviceMemory,
    MachineMemory,
    MemorySettings,
    largest_context,
    limits,
    plan_memory,
    weights_of,
)

if TYPE_CHECKING:
    from gemmahub.memory import MemoryArchitecture, MemoryPlan, Weights

GIB = 1 << 30
CONTEXTS = range(4096, 4096 + 40 * 256, 256)
Variants = dict[str, tuple["MemoryArchitecture", "Weights"]]


def machine(gpu: int, ram: int) -> MachineMemory:
    return MachineMemory(
        (DeviceMemory("cuda:0", "cuda", gpu * GIB, gpu * GIB),), ram * GIB, ram * GIB
    )


def catalogued() -> Variants:
    """Architecture and weights of every variant whose tensors are known."""
    found = {}
    for model in load_catalog().models:
        architecture = memory_architecture(model.architecture)
        for variant in model.variants:
            if variant.types:
                tensors = variant_tensors(model.architecture, variant.types)
                found[variant.reference] = architecture, weights_of(tensors)
    return found


def seconds(architecture: MemoryArchitecture, weights: Weights, context: int) -> float:
    begin = perf_counter()
    plan_memory(architecture, weights, MemorySettings(context), machine(22, 50))
    return perf_counter() - begin


def single_plans(variants: Variants) -> None:
    models = dict(variants.values())
    first = [seconds(*model, context=8000) for model in models.items()]
    later = [seconds(*model, context=context) for model in models.items() for context in CONTEXTS]
    for name, found in (("first", first), ("later", later)):
        print(f"{name}: {median(found) * 1e3:.2f} ms (median), {max(found) * 1e3:.2f} at most")


def recommendation(variants: Variants, place: MachineMemory) -> None:
    """A plan and the largest context of all variants with three cache types."""
    plans = 0

    def counted(*values: Any, **images: Any) -> MemoryPlan:
        nonlocal plans
        plans += 1
        return plan_memory(*values, **images)

    limits.plan_memory = counted  # type: ignore[attr-defined]
    begin = perf_counter()
    for architecture, weights in variants.values():
        for cache_type in USUAL_CACHE_TYPES:
            settings = MemorySettings(8192, cache_type, cache_type)
            plan_memory(architecture, weights, settings, place)
            largest_context(architecture, weights, settings, place)
    taken = perf_counter() - begin
    asked = len(variants) * len(USUAL_CACHE_TYPES)
    print(
        f"{place.devices[0].free_bytes >> 30} GiB: {asked} plans and largest contexts in "
        f"{taken * 1e3:.0f} ms, {plans / asked:.1f} plans a largest context"
    )


def main() -> None:
    variants = catalogued()
    print(f"{len(variants)} variants")
    single_plans(variants)
    for gpu, ram in ((22, 50), (7, 24), (4, 12)):
        recommendation(variants, machine(gpu, ram))


if __name__ == "__main__":
    main()
