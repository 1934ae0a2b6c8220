"""From gemmahub's settings to PyTorch's: what it can follow, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.one_answer import check_one_answer
from gemmahub.errors import LoadFailed
from gemmahub_transformers.devices import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.engines.contract import Settings
    from gemmahub_transformers.header import CheckpointHeader

DEFAULT_CONTEXT: Final = 8192
AUTO: Final = "auto"
DTYPES: Final = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}
"""What a model can compute in: PyTorch's names, and those of cache types."""
ITEM_BYTES: Final = {"bfloat16": 2, "float16": 2, "float32": 4}
_MOST: Final = 2**24
_PLAIN: Final = "f16"  # the contract's default: not quantised


@dataclass(frozen=True, slots=True)
class TorchSettings:
    """Settings with the gaps filled in, the device by gemmahub's name, the type by PyTorch's."""

    settings: Settings
    device: str
    dtype: str

    @property
    def context(self) -> int:
        """Tokens."""
        return self.settings.context or DEFAULT_CONTEXT

    @property
    def item_bytes(self) -> int:
        """Of a number that is computed with."""
        return ITEM_BYTES[self.dtype]

    @property
    def fused(self) -> bool:
        """Whether attention is one kernel, without a score for each pair of tokens."""
        return self.settings.flash_attention


def choose(
    settings: Settings, options: Mapping[str, Any], header: CheckpointHeader, device: str
) -> TorchSettings:
    """The settings in effect on a device (``CPU``, ``CUDA0``, ``MPS``).

    Raises: LoadFailed for what PyTorch cannot follow.
    """
    _check_numbers(settings)
    said = options["dtype"]
    dtype = header.dtype if said == AUTO else str(said)
    plain = DTYPES[dtype]
    for kind in (settings.cache_type_k, settings.cache_type_v):
        if kind not in (_PLAIN, plain):
            raise LoadFailed(
                f"Transformers keeps the cache in the type that the model computes in, {plain}, "
                f"not {kind}",
                "leave out the cache type",
            )
    trained = header.context_length or DEFAULT_CONTEXT
    chosen = replace(
        settings,
        context=settings.context or min(trained, DEFAULT_CONTEXT),
        cache_type_k=plain,
        cache_type_v=plain,
        flash_attention=settings.flash_attention and not header.soft_capped,
        gpu_layers=_gpu_layers(settings, header.layers, device),
        options=dict(options),
    )
    return TorchSettings(chosen, device, dtype)


def _check_numbers(settings: Settings) -> None:
    for name in ("context", "threads", "ubatch", "parallel"):
        value = getattr(settings, name)
        if value is not None and not 1 <= value <= _MOST:
            raise LoadFailed(f"{name} cannot be {value:,}", f"give a number from 1 to {_MOST:,}")
    check_one_answer(settings)


def _gpu_layers(settings: Settings, count: int, device: str) -> int:
    """All layers (-1) or none (0): a model is on one device as a whole."""
    wanted = settings.gpu_layers
    if device == HOST:
        return 0
    if wanted is None or wanted < 0 or wanted >= count:
        return -1
    raise LoadFailed(
        f"this backend does not split a model: {wanted} of {count} layers cannot be placed on "
        "the GPU",
        "leave out --gpu-layers, or use 0 for the CPU; llama.cpp splits models",
    )
