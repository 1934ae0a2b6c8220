"""Whether models fit: the word, the context, and what is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.hardware.simulate import preset_machine
from gemmahub.memory import (
    MachineMemory,
    MemoryModel,
    MemorySettings,
    largest_context,
    plan_memory,
    weights_of,
)
from gemmahub.memory.machine import DeviceMemory
from gemmahub.planning import fits_of
from gemmahub.planning.fit import RESERVE_BYTES, Fit, fit_of
from gemmahub.registry.registry import Registry

GIB = 1 << 30
CATALOG = load_catalog()


def model(name: str) -> MemoryModel:
    base, _, variant_name = name.partition(":")
    found, variant = CATALOG.model(base), CATALOG.variant(base, variant_name)
    assert found is not None
    assert variant is not None
    assert variant.types is not None
    tensors = variant_tensors(found.architecture, variant.types)
    return memory_architecture(found.architecture), weights_of(tensors)


GEMMA3_1B = model("gemma-3-1b-it:q4_0-qat")
GEMMA3_27B = model("gemma-3-27b-it:q4_0-qat")


def host(free: int) -> MachineMemory:
    return MachineMemory((), 256 * GIB, free)


def needs(found: MemoryModel, context: int) -> int:
    """Bytes that a context takes on a CPU."""
    return plan_memory(*found, MemorySettings(context=context), host(256 * GIB)).total_bytes


def test_all_of_the_trained_context_fits() -> None:
    fit = fit_of(GEMMA3_1B, host(64 * GIB))
    assert fit == Fit(True, 32768)
    assert fit.short == "fits · 32,768"
    assert fit.as_json() == {
        "fits": True, "largest_context": 32768, "short_bytes": None, "reason": "",
    }  # fmt: skip


def test_it_says_what_plan_says() -> None:
    place = host(24 * GIB)
    fit = fit_of(GEMMA3_27B, place)
    assert fit.largest_context == largest_context(*GEMMA3_27B, MemorySettings(context=256), place)
    assert 4096 < (fit.largest_context or 0) < 131072
    assert not fit.tight


def test_a_byte_short() -> None:
    least = needs(GEMMA3_27B, 256)
    assert fit_of(GEMMA3_27B, host(least)).fits is True
    fit = fit_of(GEMMA3_27B, host(least - 1))
    assert (fit.fits, fit.largest_context, fit.short_bytes) == (False, 0, 1)
    far = fit_of(GEMMA3_27B, host(least - 3 * GIB))
    assert far.short == "too big · 3.00 GiB short"
    assert far.reason == "3.00 GiB more memory is needed"


def test_tight_for_want_of_context() -> None:
    fit = fit_of(GEMMA3_27B, host(needs(GEMMA3_27B, 2048)))
    assert fit.short == "tight · 2,048"
    assert fit.fits is True
    assert "4,096" in fit.reason


def test_tight_for_want_of_a_reserve() -> None:
    room = needs(GEMMA3_27B, 4096) + RESERVE_BYTES
    assert not fit_of(GEMMA3_27B, host(room)).tight
    fit = fit_of(GEMMA3_27B, host(room - 1))
    assert fit.tight
    assert fit.short.startswith("tight · ")
    assert "1024 MiB" in fit.reason or "1.00 GiB" in fit.reason


def test_a_model_of_few_tokens_is_not_tight() -> None:
    architecture, weights = GEMMA3_1B
    fit = fit_of((replace(architecture, context_length=2048), weights), host(64 * GIB))
    assert fit.short == "fits · 2,048"


def test_too_big_for_the_gpu_and_not_for_the_machine() -> None:
    gpu = DeviceMemory("cuda:0", "cuda", 8 * GIB, 8 * GIB)
    fit = fit_of(GEMMA3_27B, MachineMemory((gpu,), 64 * GIB, 60 * GIB))
    assert fit.fits is False
    layers = int(fit.reason.rpartition("--gpu-layers ")[2])
    assert layers > 0
    settings = MemorySettings(context=4096, gpu_layers=layers)
    machine = MachineMemory((gpu,), 64 * GIB, 60 * GIB)
    assert plan_memory(*GEMMA3_27B, settings, machine).fits
    assert not plan_memory(*GEMMA3_27B, replace(settings, gpu_layers=layers + 1), machine).fits
    assert "--gpu-layers" not in fit_of(GEMMA3_27B, MachineMemory((gpu,), GIB, GIB)).reason


def test_unknown_is_a_question_mark() -> None:
    fit = Fit.unknown("nobody knows")
    assert (fit.fits, fit.short) == (None, "?")
    assert fit.as_json()["reason"] == "nobody knows"


# --- for a listing -----------------------------------------------------------------------------


def catalogue() -> Any:
    from gemmahub.registry.artifacts import Inspector

    return Registry(CATALOG, list, Inspector(None)).models(catalogue=True).variants


def test_the_whole_catalogue_on_a_small_and_a_large_machine() -> None:
    variants = catalogue()
    small = fits_of(variants, CATALOG, preset_machine("m1-8gb"))
    large = fits_of(variants, CATALOG, preset_machine("m4-max-128gb"))
    assert len(small) == len(large) == len(variants)
    known = [fit for fit in large if fit.fits is not None]
    typed = [entry for entry in CATALOG.variants if entry.types is not None]
    assert len(known) == len(typed) > 40
    assert all(fit.fits for fit in known)
    assert {fit.fits for fit in small} == {True, False, None}
    assert all(fit.reason for fit in small if not fit.fits)


def test_without_the_systems_memory_nothing_is_reported() -> None:
    from gemmahub.hardware.simulate import simulate_machine

    fits = fits_of(catalogue(), CATALOG, simulate_machine(memory=24 * GIB))
    assert {fit.fits for fit in fits} == {None}
    assert all("memory of this machine" in fit.reason for fit in fits)


@pytest.mark.parametrize("name", ["rtx-4060-laptop", "rx-7900-xtx", "cpu-16gb"])
def test_a_larger_label_of_one_model_never_fits_better(name: str) -> None:
    place = preset_machine(name)
    variants = [v for v in catalogue() if v.reference.startswith("gemma-3-12b-it:")]
    fits = list(zip(variants, fits_of(variants, CATALOG, place), strict=True))
    known = sorted(
        ((model(v.reference)[1].bytes, f) for v, f in fits if f.fits is not None),
        key=lambda pair: pair[0],
    )
    contexts = [fit.largest_context or 0 for _, fit in known]
    assert len(contexts) > 1
    assert contexts == sorted(contexts, reverse=True)
