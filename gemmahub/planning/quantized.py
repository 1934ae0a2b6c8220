"""What a file will be that is quantized, before it is made: its tensors, size, precision, loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.gguf_size import written_size
from gemmahub.formats.source import LocalFile
from gemmahub.formats.tensor import Tensor
from gemmahub.precision.quantizer import (
    UNQUANTIZED,
    PlannedTensor,
    Recipe,
    file_type,
    planned_tensors,
)
from gemmahub.precision.roles import EMBEDDING, OUTPUT, PER_LAYER_EMBEDDING, tensor_role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gemmahub.engines.contract import DryQuantization
    from gemmahub.formats.reader import ModelFile

_TABLES = (EMBEDDING, PER_LAYER_EMBEDDING, OUTPUT)


@dataclass(frozen=True, slots=True)
class QuantizedFile:
    """A file as it will be. ``model`` has its tensors and metadata, ``size_bytes`` is exact."""

    model: ModelFile
    tensors: tuple[PlannedTensor, ...]
    size_bytes: int

    @property
    def fallbacks(self) -> tuple[Fallback, ...]:
        """The tensors that cannot have the type that they should, those that are alike together."""
        found: dict[tuple[str, str, str, int], int] = {}
        for each in self.tensors:
            if each.falls_back:
                key = (tensor_role(each.tensor.name), each.wanted, each.tensor.type,
                       each.tensor.shape[0])  # fmt: skip
                found[key] = found.get(key, 0) + 1
        return tuple(Fallback(*key, count) for key, count in found.items())

    @property
    def changes(self) -> tuple[PlannedTensor, ...]:
        """The tensors whose type changes."""
        return tuple(each for each in self.tensors if each.was != each.tensor.type)

    @property
    def needs_importance(self) -> str:
        """A type that is nothing without an importance matrix; "" where there is none."""
        return next((each.tensor.type for each in self.tensors if each.needs_importance), "")

    @property
    def quantizes_again(self) -> bool:
        """Whether weights that were quantized are quantized another way, tables of words aside."""
        return any(
            each.was not in UNQUANTIZED and tensor_role(each.tensor.name) not in _TABLES
            for each in self.changes
        )


@dataclass(frozen=True, slots=True)
class Fallback:
    """``count`` tensors of a role whose rows of ``columns`` weights cannot be cut into the blocks
    of the type that was ``wanted``, and so get another."""

    role: str
    wanted: str
    type: str
    columns: int
    count: int

    @property
    def text(self) -> str:
        """In words."""
        return (
            f"{self.count} of {self.role}: {self.type} in place of {self.wanted} "
            f"(rows of {self.columns:,} weights)"
        )


def quantized_file(
    source: ModelFile, target: Path, recipe: Recipe, metadata: Mapping[str, str]
) -> QuantizedFile:
    """What ``recipe`` makes of a GGUF file. ``metadata`` are texts that are added to its own.

    Raises: KeyError for a label that is none; FormatError, IntegrityError.
    """
    tensors = planned_tensors(source.tensors, source.metadata, recipe)
    as_made = tuple(each.tensor for each in tensors)
    added: dict[str, str | int] = {
        "general.quantization_version": 2,
        "general.file_type": file_type(recipe.label, source.metadata, source.tensors),
        **metadata,
    }
    parts = []
    for path in source.files:
        with LocalFile(path) as opened:
            parts.append(read_gguf(opened))
    size = written_size(parts, as_made, added) or 0
    kept: dict[str, Any] = {**source.metadata, **added}
    made = replace(source, files=(target,), size_bytes=size, tensors=as_made, metadata=kept)
    return QuantizedFile(made, tensors, size)


def planned_weights(answer: DryQuantization) -> tuple[PlannedTensor, ...]:
    """The tensors that an engine says it would write."""
    return tuple(
        PlannedTensor(
            Tensor(each.name, each.type, each.shape, each.parameters, each.bytes),
            each.was,
            each.wanted,
        )
        for each in answer.weights
    )


def quantized_folder(
    source: ModelFile, target: Path, answer: DryQuantization, metadata: Mapping[str, str]
) -> QuantizedFile:
    """What an engine says that it would make of a folder. ``metadata`` are texts that are added to
    its configuration."""
    tensors = planned_weights(answer)
    made = replace(
        source,
        format="mlx",
        files=tuple(target / name for name in answer.files),
        size_bytes=sum(answer.files.values()),
        tensors=tuple(each.tensor for each in tensors),
        metadata={**source.metadata, **metadata},
        notes=(),
    )
    return QuantizedFile(made, tensors, made.size_bytes)
