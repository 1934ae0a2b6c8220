"""Model folders: ``config.json`` with safetensors, as Transformers and MLX write them.

MLX packs quantised weights into 32-bit words and keeps scales (and biases) beside them; here the
three are one tensor. What other tools pack is joined by :mod:`gemmahub.formats.layouts`. Source:
ml-explore/mlx ``mlx.core.quantize`` (modes, group sizes, bits) and ml-explore/mlx-lm ``utils.py``
(the ``quantization`` object in ``config.json``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.folder import read_chat_template, read_config, safetensors_shards
from gemmahub.formats.layouts import with_packed_joined
from gemmahub.formats.mlx_packing import DeclaredPacking, DeclaredPackings, find_packing
from gemmahub.formats.reader import MOST_TENSORS
from gemmahub.formats.safetensors import SafetensorsFile, read_safetensors
from gemmahub.formats.source import LocalFile
from gemmahub.formats.tensor import Tensor
from gemmahub.text import one_line, plural

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gemmahub.formats.source import Opener

_WEIGHT: Final = ".weight"


@dataclass(frozen=True, slots=True)
class FolderModel:
    """The model in a folder.

    ``format`` is "mlx" or "safetensors"; ``config`` is ``config.json`` as it stands; ``size_bytes``
    is the size of ``files``, those with tensors. ``notes`` say where config and tensors disagree.
    """

    format: str
    files: tuple[Path, ...]
    size_bytes: int
    tensors: tuple[Tensor, ...]
    config: Mapping[str, Any]
    chat_template: str | None
    notes: tuple[str, ...]


def read_model_folder(path: Path, open_file: Opener = LocalFile) -> FolderModel:
    """The model in the folder ``path``; ``open_file`` opens its safetensors files.

    Raises :class:`NotFound` where it holds no safetensors weights, and :class:`FormatError` or
    :class:`IntegrityError` for a file that is damaged or missing.
    """
    files, notes = safetensors_shards(path)
    config = read_config(path)
    template, not_read = read_chat_template(path)
    shards: list[SafetensorsFile] = []
    count = 0
    for file in files:
        with open_file(file) as source:
            shards.append(read_safetensors(source))
        count += len(shards[-1].tensors)
        if count > MOST_TENSORS:
            raise FormatError(
                f"{one_line(path.name)} has more than {MOST_TENSORS:,} tensors",
                "If other programs can read the model, report it.",
            )
    stored = _joined(shards)
    tensors, conflicts = logical_tensors(stored, config)
    mlx = len(tensors) < len(stored) or _said_by_config(config) is not None
    if len(tensors) == len(stored):
        others = with_packed_joined(stored, config)
        mlx = mlx and len(others) == len(stored)
        tensors = tensors if mlx else others
    written_by_mlx = any(shard.metadata.get("format") == "mlx" for shard in shards)
    return FolderModel(
        format="mlx" if mlx or written_by_mlx else "safetensors",
        files=tuple(files),
        size_bytes=sum(shard.size_bytes for shard in shards),
        tensors=tensors,
        config=config,
        chat_template=template,
        notes=(*notes, *conflicts, *not_read),
    )


def logical_tensors(
    stored: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[tuple[Tensor, ...], tuple[str, ...]]:
    """Tensors with packed weights, scales and biases joined, and notes on what does not agree.

    ``shape`` stays that of the packed words; ``parameters`` counts the weights in them; ``bytes``
    are those of words, scales and biases.
    """
    quantization = DeclaredPackings(_said_by_config(config))
    joined: dict[str, Tensor] = {}
    taken: set[str] = set()
    conflicts: Counter[str] = Counter()
    example: dict[str, str] = {}
    for name, tensor in stored.items():
        said = quantization.of(name.removesuffix(_WEIGHT)) if _is_weight(name) else None
        if said is None:
            continue
        made, beside, note = _join(tensor, stored, said)
        if made is not None:
            joined[name] = made
            taken.update(beside)
        if note:
            conflicts[note] += 1
            example.setdefault(note, name)
    tensors = tuple(joined.get(n, t) for n, t in stored.items() if n not in taken)
    notes = tuple(_note(note, example[note], count) for note, count in conflicts.items())
    return tensors, notes


def _note(note: str, name: str, count: int) -> str:
    """One note for all the tensors that it holds of."""
    others = f" and {plural(count - 1, 'more tensor')}" if count > 1 else ""
    return f"{note} ({one_line(name[:80], 80)}{others})"


def _is_weight(name: str) -> bool:
    return name.endswith(_WEIGHT)


def _join(
    weight: Tensor, stored: Mapping[str, Tensor], said: DeclaredPacking
) -> tuple[Tensor | None, tuple[str, ...], str]:
    """The logical tensor (None if not packed), the names that it takes in, and a note or ``""``."""
    module = weight.name.removesuffix(_WEIGHT)
    scales, biases = stored.get(f"{module}.scales"), stored.get(f"{module}.biases")
    if weight.type != "U32" or scales is None:
        if said.own and said.quantized:
            return None, (), f"config.json says {said.name}, but the weights are {weight.type}"
        return None, (), ""
    found, note = find_packing(weight, scales, biases, said)
    if found is None:
        return None, (), note
    parts = [weight, scales] + ([biases] if biases is not None else [])
    made = Tensor(
        name=weight.name,
        type=found.name,
        shape=weight.shape,
        parameters=weight.parameters * 32 // found.bits,
        bytes=sum(part.bytes or 0 for part in parts),
    )
    return made, tuple(part.name for part in parts[1:]), note


def _joined(shards: list[SafetensorsFile]) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    for shard in shards:
        for tensor in shard.tensors:
            if tensor.name in stored:
                raise IntegrityError(
                    f"{one_line(shard.name)} repeats the tensor {one_line(tensor.name[:80], 80)}",
                    "The folder mixes files of different models: fetch it again into an empty one.",
                )
            stored[tensor.name] = tensor
    return stored


def _said_by_config(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """MLX's ``quantization`` object; that of other tools names its ``quant_method``."""
    for key in ("quantization", "quantization_config"):
        value = config.get(key)
        if isinstance(value, dict) and "quant_method" not in value and "bits" in value:
            return value
    return None
