"""Reads bundles: the precision of each tensor, the model's metadata, caches and signatures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.reader import ModelFile
from gemmahub.formats.tensor import Tensor
from gemmahub.text import format_bytes, one_line
from gemmahub_litertlm.bundle import MAGIC, read_bundle
from gemmahub_litertlm.flatbuffer import FlatView
from gemmahub_litertlm.names import role_name
from gemmahub_litertlm.protobuf import LlmMetadata, read_metadata
from gemmahub_litertlm.task import begins_as_task, read_task
from gemmahub_litertlm.tflite import read_tflite

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.source import ByteSource, Opener
    from gemmahub_litertlm.bundle import Bundle, BundleSection
    from gemmahub_litertlm.tflite import CacheTensor

FORMAT: Final = "litertlm"
TASK: Final = "task"
_MOST_METADATA: Final = 8 * 1024 * 1024
_TOKENIZERS: Final = ("sentencepiece", "tokenizer")


@dataclass(frozen=True, slots=True)
class BundleModel:
    """What a bundle says of its model; ``models`` are its TFLite models by what they are for."""

    bundle: Bundle
    metadata: LlmMetadata
    tensors: tuple[Tensor, ...]
    caches: tuple[CacheTensor, ...]
    models: tuple[str, ...]

    @property
    def layers(self) -> int:
        """Layers that have a cache."""
        return len([cache for cache in self.caches if cache.name.startswith("kv_cache_k_")])

    @property
    def context(self) -> int:
        """The context that its caches were exported for, in tokens; else what the metadata say."""
        longest = max((max(cache.shape, default=0) for cache in self.caches), default=0)
        return self.metadata.context or longest

    def section_bytes(self, *kinds: str) -> int:
        """Bytes of the sections of these kinds."""
        return sum(s.end - s.begin for s in self.bundle.sections if s.kind in kinds)


def read_model(source: ByteSource, bundle: Bundle) -> BundleModel:
    """Metadata and tables of all TFLite models in the bundle; no weights are read.

    Raises: IntegrityError.
    """
    metadata = LlmMetadata()
    found: list[Tensor] = []
    caches: tuple[CacheTensor, ...] = ()
    models = []
    names: dict[str, int] = {}
    for section in bundle.sections:
        if section.kind == "metadata" and section.end - section.begin <= _MOST_METADATA:
            metadata = read_metadata(source.read(section.begin, section.end - section.begin))
        if section.kind != "tflite":
            continue
        purpose = section.model_type
        models.append(purpose or "model")
        view = FlatView(source, section.begin, section.end, f"the model {one_line(purpose, 40)}")
        if not view.size:
            continue
        model = read_tflite(view, _outside(bundle, section))
        caches = caches or model.caches
        for weight in model.weights:
            name = role_name(one_line(weight.name, 200), purpose)
            names[name] = count = names.get(name, 0) + 1
            name = name if count == 1 else f"{name}#{count}"
            shape = tuple(reversed(weight.shape))  # the contiguous dimension first
            found.append(Tensor(name, weight.kind, shape, weight.parameters, weight.bytes))
    if not found:
        name = one_line(source.name)
        raise IntegrityError(f"{name} has no weights", "Fetch another file of the model.")
    return BundleModel(bundle, metadata, tuple(found), caches, tuple(models))


def _outside(bundle: Bundle, section: BundleSection) -> int:
    """Bytes of the section with the weights that belong to this model but lie outside of it."""
    return max(
        (s.end - s.begin for s in bundle.sections
         if s.kind == "weights" and s.model_type == section.model_type),
        default=0,
    )  # fmt: skip


class _BundleReader:
    """What both forms have in common."""

    name: str
    suffixes: tuple[str, ...]

    def tensors(self, source: ByteSource) -> tuple[Tensor, ...]:
        """From the tables of the TFLite models. Raises: FormatError, IntegrityError."""
        return self.read(source).tensors

    def model(self, path: Path, open_file: Opener) -> ModelFile:
        """The bundle with what it says of the model. Raises: FormatError, IntegrityError; what
        ``open_file`` raises."""
        with open_file(path) as source:
            found, size = self.read(source), source.size
        return ModelFile(
            self.name,
            (path,),
            size,
            found.tensors,
            metadata=_metadata(found),
            chat_template=found.metadata.template or None,
            notes=tuple(_notes(found)),
            label=_label(found),
        )

    def read(self, source: ByteSource) -> BundleModel:
        """Raises: FormatError, IntegrityError."""
        raise NotImplementedError


class LitertlmReader(_BundleReader):
    """The format ``litertlm``."""

    name: str = FORMAT
    suffixes: tuple[str, ...] = (".litertlm",)

    def reads(self, path: Path) -> bool:
        """By the first bytes, ``LITERTLM``."""
        return _beginning(path).startswith(MAGIC)

    def read(self, source: ByteSource) -> BundleModel:
        """Raises: FormatError, IntegrityError."""
        return read_model(source, read_bundle(source))


class TaskReader(_BundleReader):
    """The format ``task``."""

    name: str = TASK
    suffixes: tuple[str, ...] = (".task",)

    def reads(self, path: Path) -> bool:
        """By the name of its first entry."""
        return begins_as_task(_beginning(path))

    def read(self, source: ByteSource) -> BundleModel:
        """Raises: FormatError, IntegrityError."""
        if source.read(0, 4) != b"PK\x03\x04":
            raise FormatError(
                f"{one_line(source.name)} is not a .task bundle", "Choose another file."
            )
        return read_model(source, read_task(source))


def read_any(source: ByteSource) -> BundleModel:
    """A bundle of either form. Raises: FormatError, IntegrityError."""
    is_task = source.size >= 4 and source.read(0, 4) == b"PK\x03\x04"
    return (TaskReader() if is_task else LitertlmReader()).read(source)


def _beginning(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(256)


def _metadata(found: BundleModel) -> dict[str, Any]:
    """Under the names of GGUF."""
    name = found.metadata.model_type or "litert"
    values: dict[str, Any] = {"general.architecture": name}
    if found.context:
        values[f"{name}.context_length"] = found.context
    if found.layers:
        values[f"{name}.block_count"] = found.layers
    values |= {
        f"litertlm.{key}"[:80]: value for key, value in list(found.bundle.about.items())[:20]
    }
    return values


def _label(found: BundleModel) -> str | None:
    """The type that most weights have, which is how these files are called."""
    counts: dict[str, int] = {}
    for tensor in found.tensors:
        counts[tensor.type] = counts.get(tensor.type, 0) + tensor.parameters
    return max(counts, key=lambda kind: counts[kind], default=None)


def _notes(found: BundleModel) -> list[str]:
    """Sections, for people."""
    told = []
    for section in found.bundle.sections:
        said = section.model_type or section.kind
        only = section.about.get("backend_constraint", "")
        told.append(
            f"{said} {format_bytes(section.end - section.begin)}"
            + (f" ({only} only)" if only else "")
        )
    notes = [f"sections: {', '.join(told)}"]
    if found.metadata.least_version:
        notes.append(f"it needs LiteRT-LM {found.metadata.least_version} or later")
    if not any(section.kind in _TOKENIZERS for section in found.bundle.sections):
        notes.append("it has no tokenizer")
    return notes
