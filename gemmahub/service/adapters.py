"""LoRA adapters as people name them, and what they add to a plan."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub.engines.contract import Adapter
from gemmahub.errors import NotFound, UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.memory import MemoryModel
    from gemmahub.memory.weight_sums import Weights
    from gemmahub.registry.variants import Variant


def adapters_of(texts: Iterable[str]) -> tuple[Adapter, ...]:
    """Adapters from ``FILE`` or ``FILE=SCALE``. Raises: NotFound, UsageError."""
    return tuple(map(_adapter, texts))


def _adapter(text: str) -> Adapter:
    path, scale = Path(text), 1.0
    name, _, number = text.rpartition("=")
    if name and not path.is_file():
        path = Path(name)
        try:
            scale = float(number)
        except ValueError:
            scale = float("nan")
        if not isfinite(scale):
            raise UsageError(
                f"the scale of an adapter cannot be {one_line(number)!r}", "write FILE=0.5"
            )
    if not path.is_file():
        raise NotFound(f"there is no adapter {one_line(str(path))}", "choose a GGUF file")
    return Adapter(path.absolute(), scale)


def with_adapters(model: MemoryModel, variant: Variant, adapters: Sequence[Adapter]) -> MemoryModel:
    """The model with the matrices of its adapters, which lie where their weights lie.

    Raises: FormatError for what is no adapter of this model; UsageError for one that is not here.
    """
    from gemmahub.formats.adapter import check_adapter
    from gemmahub.formats.detect import open_model
    from gemmahub.memory import weights_of

    architecture, weights = model
    if adapters and not variant.artifacts:
        raise UsageError(
            f"{one_line(variant.reference)} is not on this machine, but its adapter must be "
            "compared with it",
            "pull it first, or leave out --adapter",
        )
    for adapter in adapters:
        artifact = variant.artifacts[0]
        found = open_model(adapter.path)
        check_adapter(found, open_model(artifact.files[0] if artifact.files else artifact.path))
        weights = _sum(weights, weights_of(found.tensors))
    return architecture, weights


def _sum(weights: Weights, more: Weights) -> Weights:
    layers = list(weights.layers)
    for number, size in enumerate(more.layers):
        layers[number] += size
    return replace(weights, layers=tuple(layers), output=weights.output + more.output)
