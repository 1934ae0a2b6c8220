"""The memory record of a file as a short text, so that a file has to be opened only once.

A text holds a :data:`MemoryModel`, or the reason why there is none. Equal models have equal texts,
and :func:`unpack` gives the same objects for the same text.
"""

from __future__ import annotations

import json
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from gemmahub.errors import FormatError, GemmahubError
from gemmahub.memory.architecture import LayerShape, MemoryArchitecture, UnknownArchitecture
from gemmahub.memory.families import drafts_for
from gemmahub.memory.gguf_architecture import from_gguf
from gemmahub.memory.ranges import RANGES, OutOfRange, check
from gemmahub.memory.weight_sums import Weights
from gemmahub.memory.weights import weights_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmahub.formats.tensor import Tensor

MemoryModel = tuple[MemoryArchitecture, Weights]
"""What the memory of a model depends on."""

MODELLED_FORMATS: Final = ("gguf",)
"""Formats whose memory is calculated here; of others, the engine is asked."""

_RECORDS: Final = (LayerShape, MemoryArchitecture, Weights)
RECORD_VERSION: Final = crc32(
    " ".join([*(f.name for record in _RECORDS for f in fields(record)), repr(RANGES)]).encode()
)
"""Differs when the records have other fields or ranges: remembered texts are then of no use."""


def packed(format_: str, metadata: Mapping[str, Any], tensors: Sequence[Tensor]) -> str:
    """The text for a model file, whether its memory is known or not. Never raises."""
    if format_ not in MODELLED_FORMATS:
        return _unknown(
            f"only its engine knows the memory use of a {format_} model",
            "gemmahub plan asks the engine",
        )
    architecture = from_gguf(metadata, tensors)
    if isinstance(architecture, UnknownArchitecture):
        return _unknown(
            f"the cache size of a {one_line(architecture.name, 60) or 'nameless'} model is "
            f"unknown: {architecture.reason}",
            "gemmahub plan --exact asks the engine",
        )
    if drafts_for(architecture.name):
        return _unknown(
            "it is a draft head, which cannot answer by itself",
            "gemmahub plan MODEL --drafter FILE counts it with its model",
        )
    try:
        weights = weights_of(tensors)
    except FormatError as error:
        return _unknown(error.message, error.hint)
    said, found = len(architecture.layers), len(weights.layers)
    if said != found:
        return _unknown(
            f"the file states {said} layers, but has tensors of {found}",
            "download the file again, or use another one",
        )
    return _text(architecture, weights)


@lru_cache(maxsize=1024)
def unpack(text: str) -> MemoryModel:
    """The records of a text.

    Raises: GemmahubError with the reason where the memory of that model is not known, and where the
    text is not one that :func:`packed` wrote.
    """
    try:
        data = json.loads(text)
        if "unknown" not in data:
            return _model(data)
        message, hint = map(str, data["unknown"])
    except (ValueError, TypeError, LookupError, RecursionError, OutOfRange) as error:
        raise GemmahubError(
            "the cached summary of this model is damaged",
            "remove summaries.sqlite from gemmahub's cache folder; the files are read again",
        ) from error
    raise GemmahubError(message, hint)


def _model(data: Any) -> MemoryModel:
    """Raises what a text of another kind leads to."""
    shapes = [LayerShape(*row) for row in data["shapes"]]
    layers = tuple(shapes[number] for number in data["layers"])
    values = data["weights"]
    sums: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    architecture, weights = (
        MemoryArchitecture(layers=layers, **data["architecture"]),
        Weights(**sums),
    )
    check(architecture)
    by_layer = (weights.layers, weights.largest, weights.repackable, weights.experts)
    if any(len(sizes) != len(layers) for sizes in by_layer):
        raise ValueError("weights of another number of layers")
    return architecture, weights


def _text(architecture: MemoryArchitecture, weights: Weights) -> str:
    """Layers by the number of their shape: most models have two or three shapes."""
    shapes = architecture.shapes
    numbers = {shape: number for number, shape in enumerate(shapes)}
    return _json(
        {
            "architecture": {
                field.name: getattr(architecture, field.name)
                for field in fields(MemoryArchitecture)
                if field.name != "layers"
            },
            "shapes": [
                [getattr(shape, field.name) for field in fields(LayerShape)] for shape in shapes
            ],
            "layers": [numbers[layer] for layer in architecture.layers],
            "weights": {field.name: getattr(weights, field.name) for field in fields(Weights)},
        }
    )


def _unknown(message: str, hint: str) -> str:
    return _json({"unknown": [message, hint]})


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
