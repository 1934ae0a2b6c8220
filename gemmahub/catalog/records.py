"""What the catalogue hands out: families, models, variants, and where each figure comes from.

Sizes are bytes, context lengths and windows are tokens, lengths and widths are numbers of weights.
A field that could not be verified is None: the catalogue has no approximate figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta, field

from gemmahub.catalog.kquant_mix import MIXES
from gemmahub.catalog.replaced import ReplacedFile, Replacements
from gemmahub.catalog.table import (
    Capability,
    ChatAbility,
    Commit,
    Count,
    Entry,
    Grade,
    Positive,
    PositiveNumber,
    Repository,
    Sha256,
    Training,
)
from gemmahub.formats.ggml_types import GGML_TYPES_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gemmahub.catalog.members import FamilyMember
    from gemmahub.catalog.published import PublishedTag

    GgmlType = str
    Mix = str
else:
    GgmlType = Literal[tuple(GGML_TYPES_BY_NAME)]
    Mix = Literal[tuple(MIXES)]

WHOLE: Final = "."
"""The ``file`` of a variant that is a folder with several: the whole repository."""


class Family(Entry, frozen=True, kw_only=True):
    """A generation of Gemma under one licence."""

    name: str
    title: str
    licence: str
    licence_url: str
    released: str
    chat_abilities: tuple[ChatAbility, ...] = ()
    source: str


class Architecture(Entry, frozen=True, kw_only=True):
    """The text decoder of one size, as a GGUF file of it holds it.

    ``parameters`` counts the weights of all tensors of a text GGUF with ``vocabulary`` rows,
    without the unused key and value tensors that some conversions keep
    (see :attr:`StoredTypes.unused_kv`). ``checkpoint_vocabulary`` is the number of embedding rows
    of the publisher's checkpoint where that differs from the GGUF's. Zero is for what an
    architecture does not have; a value for global layers that is left out is the one for local
    layers, and ``active_parameters`` are ``parameters``.
    """

    name: str = field(name="architecture")
    size: str
    layers: Positive
    embedding_length: Positive
    feed_forward_length: tuple[Positive, ...]
    heads: Positive
    kv_heads_local: Positive
    kv_heads_global: Positive
    head_dim_local: Positive
    head_dim_global: Positive
    sliding_window: Positive
    pattern_period: Positive
    shared_kv_layers: Count = 0
    per_layer_embedding_length: Count = 0
    global_value_is_key: bool = False
    experts: Count = 0
    experts_used: Count = 0
    expert_feed_forward_length: Count = 0
    vocabulary: Positive
    checkpoint_vocabulary: Positive
    context_length: Positive
    tied_embedding: bool
    rope_base_global: PositiveNumber = 1e6
    rope_base_local: PositiveNumber = 1e4
    rope_scale_global: PositiveNumber = 1.0
    final_softcap: PositiveNumber | None = None
    parameters: Positive
    active_parameters: Positive
    capabilities: Annotated[tuple[Capability, ...], Meta(min_length=1)]
    image_tokens: Positive | None = None
    source: str

    def is_local(self, layer: int) -> bool:
        """Whether the layer attends to the sliding window only.

        Every ``pattern_period``-th layer is global (llama.cpp ``src/llama-hparams.cpp``).
        """
        return layer % self.pattern_period < self.pattern_period - 1

    def owns_kv(self, layer: int) -> bool:
        """Whether the layer has a cache of its own (the last ``shared_kv_layers`` reuse one)."""
        return layer < self.layers - self.shared_kv_layers

    def kv_heads(self, layer: int) -> int:
        return self.kv_heads_local if self.is_local(layer) else self.kv_heads_global

    def head_dim(self, layer: int) -> int:
        return self.head_dim_local if self.is_local(layer) else self.head_dim_global


class StoredTypes(Entry, frozen=True):
    """Which GGML type each tensor of a file has, said in one line.

    Either ``default`` (one type for all matrices) or ``mix`` (a llama.cpp K-quant mix). ``kept`` is
    the type of the matrices that llama.cpp's quantiser copies as they are (per_layer_model_proj,
    AltUp, LAuReL). ``vocabulary`` is the number of embedding rows where a publisher keeps more
    than the usual ones. ``unused_kv``: the file has key and value tensors in layers that reuse
    another layer's cache. One-dimensional tensors are F32 everywhere. ``by_label``: they follow
    from the label or the maker's words, and no exact size holds them.
    """

    default: GgmlType | None = None
    mix: Mix | None = None
    embedding: GgmlType | None = None
    per_layer_embedding: GgmlType | None = None
    kept: GgmlType = "BF16"
    vocabulary: Positive | None = None
    unused_kv: bool = False
    by_label: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.default is None) == (self.mix is None):
            raise ValueError("either default or mix, not both")


class CatalogFile(Entry, frozen=True, kw_only=True):
    """A file that belongs to a variant: a vision or audio projector, or a draft model.

    ``image_buffer_bytes`` is what llama.cpp 0.3.36 holds besides the file's tensors to compute the
    largest image it takes (CPU backend, flash attention on). It is of grade A whatever the grade of
    the file: measured with a file of these shapes and no weights
    (``benchmarks/projector_table.py``).
    """

    repository: Repository
    file: str
    bytes: Positive
    sha256: Sha256
    revision: Commit | None = None
    grade: Grade
    source: str
    image_buffer_bytes: Positive | None = None
    replaced: tuple[ReplacedFile, ...] = ()


class CatalogVariant(Entry, frozen=True, kw_only=True):
    """One published file of a model. ``content`` says what is really in it.

    A folder format is all of its repository: its ``file`` is :data:`WHOLE`.
    """

    model: str
    name: str
    format: Literal["gguf", "mlx", "safetensors"] = "gguf"
    label: str
    training: Training
    training_basis: str
    repository: Repository
    file: str
    bytes: Positive | None = None
    sha256: Sha256 | None = None
    revision: Commit | None = None
    gated: bool = False
    content: str
    types: StoredTypes | None = None
    projector: CatalogFile | None = None
    drafter: CatalogFile | None = None
    replaced: tuple[ReplacedFile, ...] = ()
    note: str | None = None
    grade: Grade
    source: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.format == "gguf") == (self.file == WHOLE):
            raise ValueError(f"file = {WHOLE!r} is for folder formats only")

    @property
    def reference(self) -> str:
        """As a user names it: ``gemma-3-4b-it:q4_0-qat``."""
        return f"{self.model}:{self.name}"

    @property
    def confirmed(self) -> bool:
        """Whether more than one public source, or a measurement, stands behind it."""
        return self.grade != "C"

    @property
    def checked(self) -> bool:
        """Whether its types are known, by more than its label, and several sources have it."""
        return self.types is not None and not self.types.by_label and self.confirmed

    @property
    def open(self) -> tuple[str, ...]:
        """What is not known of it, in words."""
        known = {
            "its size": self.bytes,
            "its sha256": self.sha256 or self.format != "gguf",  # a folder has one a file
            "which types its tensors have": self.types,
        }
        return tuple(what for what, value in known.items() if not value)


@dataclass(frozen=True, slots=True)
class Score:
    """What a model reached in a public benchmark, as its publisher states it.

    ``value`` is in percent, higher is better. ``setting`` says how it was measured (number of
    examples, with or without thinking). It is the same for all instruction-tuned models of a
    family and for all its base models, so their values can be compared; between families it can
    differ. The publishers say nothing of quantised files.
    """

    benchmark: str
    value: float
    setting: str
    grade: Grade
    source: str


@dataclass(frozen=True, slots=True)
class Model:
    """A set of weights as its publisher names it, lower-cased."""

    name: str
    title: str
    family: str
    released: str
    instruction_tuned: bool
    architecture: Architecture
    variants: tuple[CatalogVariant, ...]
    source: str
    scores: tuple[Score, ...] = ()

    def variant(self, name: str) -> CatalogVariant | None:
        return next((v for v in self.variants if v.name == name.lower()), None)

    def score(self, benchmark: str) -> Score | None:
        """The score in that benchmark, such as ``MMLU-Pro`` (any case), or None."""
        wanted = benchmark.lower()
        return next((s for s in self.scores if s.benchmark.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All families, with the ways to find something in them; every lookup may return None."""

    families: tuple[Family, ...]
    models: tuple[Model, ...]
    published_tags: tuple[PublishedTag, ...]
    _models: Mapping[str, Model]
    _sha256: Mapping[str, CatalogVariant]
    _files: Mapping[tuple[str, str], CatalogVariant]
    _sizes: Mapping[tuple[str, int], CatalogVariant]
    _tags: Mapping[str, PublishedTag]
    replaced: Replacements
    members: tuple[FamilyMember, ...]

    @classmethod
    def of(
        cls,
        families: Iterable[Family],
        models: Iterable[Model],
        published_tags: Iterable[PublishedTag],
        members: Iterable[FamilyMember] = (),
    ) -> Catalog:
        """A catalogue with its indexes; the loader has made sure that keys are unique."""
        models, tags = tuple(models), tuple(published_tags)
        variants = [v for m in models for v in m.variants]
        return cls(
            tuple(families),
            models,
            tags,
            MappingProxyType({m.name: m for m in models}),
            MappingProxyType({v.sha256: v for v in variants if v.sha256}),
            MappingProxyType({(v.repository.lower(), v.file): v for v in variants}),
            MappingProxyType({(v.file.lower(), v.bytes): v for v in variants if v.bytes}),
            MappingProxyType({n: t for t in tags for n in (t.tag, t.reference)}),
            Replacements.of(variants),
            tuple(members),
        )

    @property
    def variants(self) -> tuple[CatalogVariant, ...]:
        return tuple(v for m in self.models for v in m.variants)

    def family(self, name: str) -> Family | None:
        return next((f for f in self.families if f.name == name), None)

    def model(self, name: str) -> Model | None:
        return self._models.get(name.lower())

    def variant(self, model: str, name: str) -> CatalogVariant | None:
        return found.variant(name) if (found := self.model(model)) else None

    def by_sha256(self, sha256: str) -> CatalogVariant | None:
        return self._sha256.get(sha256.lower())

    def by_file(self, repository: str, file: str) -> CatalogVariant | None:
        """The variant in that Hugging Face repository under that file name, or :data:`WHOLE`."""
        return self._files.get((repository.lower(), file))

    def by_name_and_bytes(self, file: str, size_bytes: int) -> CatalogVariant | None:
        """The variant whose file has that name (any case, no folder) and exactly that size."""
        return self._sizes.get((file.lower(), size_bytes))

    def published(self, name: str) -> PublishedTag | None:
        """``ollama://gemma3:4b`` or ``gemma3:4b``, in any case; ``:latest`` may be left out."""
        wanted = name.lower()
        return self._tags.get(wanted) or self._tags.get(f"{wanted}:latest")
