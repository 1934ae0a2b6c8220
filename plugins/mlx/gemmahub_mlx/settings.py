"""From gemmahub's settings to MLX's: what it can follow, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.one_answer import check_one_answer
from gemmahub.errors import LoadFailed
from gemmahub_mlx.engine import HOST
from gemmahub_mlx.families import habits_of
from gemmahub_mlx.memory import CacheFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.engines.contract import Settings
    from gemmahub.memory import MemoryArchitecture
    from gemmahub_mlx.header import ModelHeader

DEFAULT_CONTEXT: Final = 8192
_MOST: Final = 2**24
_BITS: Final = {"q8_0": 8, "q4_0": 4}
_PLAIN: Final = "f16"  # the contract's default: not quantised
_GROUPS: Final = (64, 32)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Settings with the gaps filled in, and the form of the cache that they mean."""

    settings: Settings
    cache: CacheFormat

    @property
    def context(self) -> int:
        """Tokens."""
        return self.settings.context or DEFAULT_CONTEXT

    @property
    def held(self) -> bool:
        """Whether MLX is kept to the plan by its memory limit."""
        return bool(self.settings.options["hold_memory"])


def choose(
    settings: Settings, options: Mapping[str, Any], header: ModelHeader, device: str
) -> Chosen:
    """The settings in effect on a device (``CPU``, ``Metal``, ``CUDA0``).

    Raises: LoadFailed for what MLX cannot follow.
    """
    _check_numbers(settings)
    _check_engine(settings)
    form = _cache_form(settings, header)
    plain = header.dtype
    return Chosen(
        replace(
            settings,
            context=settings.context
            or min(header.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
            cache_type_k=settings.cache_type_k if form.bits else plain,
            cache_type_v=settings.cache_type_v if form.bits else plain,
            gpu_layers=_gpu_layers(settings, header.layers, device),
            options=dict(options),
        ),
        form,
    )


def _check_numbers(settings: Settings) -> None:
    for name in ("context", "threads", "ubatch", "parallel"):
        value = getattr(settings, name)
        if value is not None and not 1 <= value <= _MOST:
            raise LoadFailed(f"{name} cannot be {value:,}", f"give a number from 1 to {_MOST:,}")
    check_one_answer(settings)


def _check_engine(settings: Settings) -> None:
    if settings.threads is not None:
        raise LoadFailed("MLX chooses its number of threads itself", "leave out the threads")
    if not settings.flash_attention:
        raise LoadFailed(
            "MLX chooses its attention kernels itself", "leave flash attention switched on"
        )


def _cache_form(settings: Settings, header: ModelHeader) -> CacheFormat:
    keys, values = settings.cache_type_k, settings.cache_type_v
    if keys != values:
        raise LoadFailed(
            f"MLX keeps keys and values in one type, not {keys} and {values}",
            "give both the same cache type",
        )
    if keys in (_PLAIN, header.dtype):
        return CacheFormat(header.item_bytes)
    bits = _BITS.get(keys)
    if bits is None:
        raise LoadFailed(
            f"MLX has no {keys} cache for a model that computes in {header.dtype}",
            f"use {header.dtype}, q8_0 or q4_0",
        )
    return CacheFormat(header.item_bytes, bits, _group_size(header.known))


def _group_size(architecture: MemoryArchitecture) -> int:
    """Numbers of a key that share a scale: the most that divides the heads of global layers."""
    layers = architecture.layers
    shared = not all(layer.owns_cache for layer in layers)
    if shared and not habits_of(architecture.name).quantises_shared:
        raise LoadFailed(
            "mlx-lm cannot quantize a cache that layers share, as they do in this model",
            "leave out the cache type",
        )
    lengths = {layer.key_length for layer in layers if layer.attention == "global"}
    size = next((g for g in _GROUPS if all(length % g == 0 for length in lengths)), None)
    if size is None or not lengths:
        raise LoadFailed(
            "MLX cannot quantize the cache of this model: "
            + ("its head size is not a multiple of 32" if lengths else "it has windows only"),
            "leave out the cache type",
        )
    return size


def _gpu_layers(settings: Settings, count: int, device: str) -> int:
    """All layers (-1) or none (0): MLX does not split a model between devices."""
    wanted = settings.gpu_layers
    if device == HOST:
        if wanted:
            raise LoadFailed(
                "GPU layers were requested, but MLX computes on the CPU here", "use --gpu-layers 0"
            )
        return 0
    if wanted == 0:
        return 0
    if wanted is None or wanted < 0 or wanted >= count:
        return -1
    raise LoadFailed(
        f"MLX does not split a model: {wanted} of {count} layers cannot be placed on the GPU",
        "leave out --gpu-layers, or use 0 for the CPU",
    )
