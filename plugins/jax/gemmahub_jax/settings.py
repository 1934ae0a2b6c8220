"""From gemmahub's settings to the library's: what it can follow, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.one_answer import check_one_answer
from gemmahub.errors import LoadFailed
from gemmahub_jax.engine import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.engines.contract import Settings
    from gemmahub_jax.families import Habits
    from gemmahub_jax.shapes import ModelShape

DEFAULT_CONTEXT: Final = 4096
"""``cache_length`` of the library's ``Sampler``."""
_MOST: Final = 1 << 20
_PLAIN: Final = "f16"  # the contract's default: not quantised


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Settings with the gaps filled in."""

    settings: Settings

    @property
    def context(self) -> int:
        """Tokens."""
        return self.settings.context or DEFAULT_CONTEXT

    @property
    def on_host(self) -> bool:
        """Whether the processor computes."""
        return self.settings.gpu_layers == 0


def choose(
    settings: Settings, options: Mapping[str, Any], shape: ModelShape, habits: Habits, device: str
) -> RunSettings:
    """The settings in effect on a device (``CPU``, ``CUDA0``, ``TPU0``).

    Raises: LoadFailed for what the library cannot follow.
    """
    for name in ("context", "threads", "ubatch", "parallel"):
        value = getattr(settings, name)
        if value is not None and not 1 <= value <= _MOST:
            raise LoadFailed(f"{name} cannot be {value:,}", f"give a number from 1 to {_MOST:,}")
    _check_engine(settings, shape)
    kind = shape.dtype.lower()
    return RunSettings(
        replace(
            settings,
            context=settings.context or min(habits.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
            cache_type_k=kind,
            cache_type_v=kind,
            flash_attention=settings.flash_attention,
            gpu_layers=_gpu_layers(settings, shape.layers, device),
            options=dict(options),
        )
    )


def _check_engine(settings: Settings, shape: ModelShape) -> None:
    check_one_answer(settings)
    if settings.threads is not None:
        raise LoadFailed("JAX chooses its number of threads itself", "leave out the threads")
    kind = shape.dtype.lower()
    for name in (settings.cache_type_k, settings.cache_type_v):
        if name not in (_PLAIN, kind):
            raise LoadFailed(
                f"the gemma library has no {name} cache: it has the type of the model, {kind}",
                "leave out the cache type",
            )


def _gpu_layers(settings: Settings, count: int, device: str) -> int:
    """All layers (-1) or none (0): a model is not split here."""
    wanted = settings.gpu_layers
    if device == HOST:
        if wanted:
            raise LoadFailed(
                "GPU layers were requested, but JAX found no GPU here",
                "use --gpu-layers 0, or install `gemmahub-jax[cuda13]`",
            )
        return 0
    if wanted == 0:
        return 0
    if wanted is None or wanted < 0 or wanted >= count:
        return -1
    raise LoadFailed(
        f"the gemma library does not split a model: {wanted} of {count} layers cannot be "
        "placed on the GPU",
        "leave out --gpu-layers, or use 0 for the CPU",
    )
