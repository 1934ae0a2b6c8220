"""Orbax checkpoints as a file format: for ``inspect``, ``list`` and ``compare``, without JAX."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import FormatError, GemmahubError, LoadFailed
from gemmahub.formats.folder import CONFIG, chat_template
from gemmahub.formats.json_text import read_object
from gemmahub.formats.reader import ModelFile
from gemmahub.formats.source import LocalFile
from gemmahub.text import format_bytes
from gemmahub_jax.checkpoint import is_checkpoint, read_checkpoint
from gemmahub_jax.families import habits_of
from gemmahub_jax.naming import tensors_of
from gemmahub_jax.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gemmahub.formats.source import ByteSource, Opener
    from gemmahub.formats.tensor import Tensor

FORMAT: Final = "orbax"
_LARGEST_CONFIG: Final = 4 << 20
_EMBEDDING: Final = "embedder."


class OrbaxReader:
    """Reads the folders that Orbax writes: those of Gemma on Kaggle, and those of the library."""

    name = FORMAT

    def reads(self, path: Path) -> bool:
        """Whether a folder is a checkpoint, by the names in it."""
        return path.is_dir() and is_checkpoint(path)

    def tensors(self, source: ByteSource) -> Iterable[Tensor]:
        """Raises: FormatError: no single file is a checkpoint."""
        raise FormatError("an Orbax checkpoint is a folder", "name the folder")

    def model(self, path: Path, open_file: Opener = LocalFile) -> ModelFile:
        """The model, its weights counted as a device holds them: on the disk they are compressed.

        Raises: NotFound, FormatError, IntegrityError; what ``open_file`` raises.
        """
        checkpoint = read_checkpoint(path, open_file)
        tensors = tensors_of(checkpoint.arrays)
        held = sum(tensor.bytes or 0 for tensor in tensors)
        stored = sum(array.stored_bytes for array in checkpoint.arrays)
        notes = (
            f"the arrays take {format_bytes(held)} in memory and {format_bytes(stored)} on the "
            "disk, where they are compressed without loss",
        )
        return ModelFile(
            FORMAT,
            checkpoint.files or (path,),
            checkpoint.size_bytes,
            tensors,
            architecture_keys(tensors, config_beside(path)),
            chat_template(path),
            notes,
            main_label(tensors),
            compressed=True,
        )


def config_beside(folder: Path) -> dict[str, Any]:
    """``config.json`` of the folder, or of the one above; empty where there is none."""
    for place in (folder, folder.parent):
        with suppress(GemmahubError):
            return read_object(place / CONFIG, _LARGEST_CONFIG)
    return {}


def main_label(tensors: Sequence[Tensor]) -> str | None:
    """The type of most weights outside the embedding: ``BF16``, ``INT4``."""
    counts: Counter[str] = Counter()
    for tensor in tensors:
        if not tensor.name.startswith(_EMBEDDING):
            counts[tensor.type] += tensor.parameters
    return max(counts, key=lambda name: counts[name], default=None)


def architecture_keys(tensors: Sequence[Tensor], config: Mapping[str, Any]) -> dict[str, Any]:
    """What the shapes say of the model, under the names of GGUF; nothing of a model that is none of
    those that this plugin knows."""
    try:
        shape = shape_of(tensors)
    except LoadFailed:
        return {}
    name, habits = (
        shape.architecture,
        habits_of(shape.architecture, shape.layers, shape.width, config),
    )
    found: dict[str, Any] = {
        "general.architecture": name,
        f"{name}.block_count": shape.layers,
        f"{name}.embedding_length": shape.width,
    }
    if habits and habits.context:
        found[f"{name}.context_length"] = habits.context
    if habits and habits.window:
        found[f"{name}.attention.sliding_window"] = habits.window
    return found
