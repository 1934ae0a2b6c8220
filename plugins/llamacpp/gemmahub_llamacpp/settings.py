"""Settings as llama.cpp takes them: checked, and with the gaps filled in."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Final

from gemmahub.engines.one_answer import check_one_answer
from gemmahub.errors import LoadFailed
from gemmahub.formats.ggml_types import CACHE_TYPES, GGML_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import Settings
    from gemmahub_llamacpp.context import Context, ContextSettings

DEFAULT_CONTEXT: Final = 8192

MOST: Final = 2**31  # llama.cpp counts in 32 bits with a sign
# Tokens. A record of each position is made also when nothing else is allocated (a dry load for
# 2**28 tokens takes more than 10 GB), so a mistyped number could take all memory of the machine.
_MOST_CONTEXT: Final = 2**24

# llama.cpp has an array of so many places for tensors that lie elsewhere than their layer
# (``llama_max_tensor_buft_overrides``), and no model has more layers.
_MOST_LAYERS: Final = 512

_FLOAT_TYPES: Final = ("f32", "f16", "bf16")
_NUMBERS: Final = {kind.name.lower(): number for number, kind in GGML_TYPES.items()}


def check_settings(settings: Settings) -> None:
    """Raises: LoadFailed for what is wrong with every model."""
    for name in ("context", "threads", "ubatch", "parallel"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise LoadFailed(f"{name} cannot be {value}", "give a number of 1 or more")
        most = _MOST_CONTEXT if name == "context" else MOST - 1
        if value is not None and value > most:
            raise LoadFailed(f"{name} cannot be {value:,}", f"give {most:,} or less")
    check_one_answer(settings)
    if not 0 <= (settings.experts_in_memory or 0) <= _MOST_LAYERS:
        raise LoadFailed(
            f"experts_in_memory cannot be {settings.experts_in_memory}",
            f"give a number of layers from 0 to {_MOST_LAYERS}",
        )
    if any(not isfinite(share) or share < 0 for share in settings.tensor_split):
        raise LoadFailed("a share of tensor_split is not a number of 0 or more", "write it as 3,1")
    for name in ("cache_type_k", "cache_type_v"):
        value = getattr(settings, name)
        if value not in CACHE_TYPES:
            raise LoadFailed(
                f"{name} cannot be {value!r}", f"choose one of {', '.join(CACHE_TYPES)}"
            )
    if settings.cache_type_v not in _FLOAT_TYPES and not settings.flash_attention:
        raise LoadFailed(
            f"a {settings.cache_type_v} cache for V needs flash attention",
            "switch flash attention on, or use f16 for V",
        )


def context_settings(settings: Settings, trained: int | None) -> ContextSettings:
    """The context to make, with the caller's gaps filled in; ``options`` have none any more.

    More context than the model was ``trained`` for is the caller's wish: llama.cpp allows it.
    """
    from gemmahub.hardware.cpu import compute_threads
    from gemmahub_llamacpp.context import ContextSettings

    return ContextSettings(
        cells=settings.context or min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
        ubatch=settings.ubatch,
        type_k=_NUMBERS[settings.cache_type_k],
        type_v=_NUMBERS[settings.cache_type_v],
        flash_attention=settings.flash_attention,
        threads=settings.threads or compute_threads(),
        swa_full=settings.options["swa_full"],
        outputs_max=settings.options["outputs_max"],
        cache_on_gpu=not settings.cache_in_memory,
    )


def in_effect(settings: Settings, context: Context, chosen: ContextSettings) -> Settings:
    """The settings with the sizes as the engine rounded them."""
    return replace(settings, context=context.size, ubatch=context.ubatch, threads=chosen.threads)


def gpu_layers(settings: Settings, gpus: Sequence[object]) -> int:
    """Layers on the GPU: -1 is all of them.

    Raises: LoadFailed when layers are asked for and this build of llama.cpp sees no GPU.
    """
    if settings.gpu_layers is None:
        return -1 if gpus else 0
    if settings.gpu_layers and not gpus:
        raise LoadFailed(
            "GPU layers were requested, but this build of llama.cpp finds no GPU",
            "use --gpu-layers 0, or reinstall llama-cpp-python for your GPU (see the README)",
        )
    return max(-1, settings.gpu_layers)
