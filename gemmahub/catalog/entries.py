"""The tables of a catalogue file: what each may hold, and the records that they become."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, field
from msgspec.structs import asdict

from gemmahub.catalog.kquant_mix import MIXES
from gemmahub.catalog.records import (
    Architecture,
    Capability,
    CatalogFile,
    CatalogVariant,
    Family,
    Grade,
    PublishedTag,
    StoredTypes,
    Training,
)
from gemmahub.catalog.table import (
    Commit,
    Count,
    Entry,
    Positive,
    PositiveNumber,
    Repository,
    Sha256,
    ShortDigest,
    day,
    fault,
    read,
    tables,
)
from gemmahub.formats.ggml_types import GGML_TYPES_BY_NAME
from gemmahub.memory import families

if TYPE_CHECKING:
    GgmlType = str
    Mix = str
else:
    GgmlType = Literal[tuple(GGML_TYPES_BY_NAME)]
    Mix = Literal[tuple(MIXES)]

FindFile = Callable[[str, str | None], CatalogFile | None]
"""Gets the key and the name of a file that a variant names; raises CatalogError."""

_SAME_AS: Final = {
    "kv_heads_global": "kv_heads_local",
    "head_dim_global": "head_dim_local",
    "checkpoint_vocabulary": "vocabulary",
    "active_parameters": "parameters",
}


class FileTables(Entry, frozen=True):
    """A whole file; its tables are read one by one, so that errors name them."""

    family: dict[str, Any]
    sizes: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    models: list[Any] = field(default_factory=list)
    scores: list[Any] = field(default_factory=list)
    published: dict[str, Any] | None = None


class _Architecture(Entry, frozen=True, kw_only=True):
    """Zero for what an architecture does not have; see ``_SAME_AS`` for what may be left out."""

    architecture: str
    layers: Positive
    embedding_length: Positive
    feed_forward_length: list[tuple[Positive, Positive]]
    heads: Positive
    kv_heads_local: Positive
    kv_heads_global: Positive | None = None
    head_dim_local: Positive
    head_dim_global: Positive | None = None
    sliding_window: Positive
    pattern_period: Positive
    shared_kv_layers: Count = 0
    per_layer_embedding_length: Count = 0
    global_value_is_key: bool = False
    experts: Count = 0
    experts_used: Count = 0
    expert_feed_forward_length: Count = 0
    vocabulary: Positive
    checkpoint_vocabulary: Positive | None = None
    context_length: Positive
    tied_embedding: bool
    rope_base_global: PositiveNumber = 1e6
    rope_base_local: PositiveNumber = 1e4
    rope_scale_global: PositiveNumber = 1.0
    final_softcap: PositiveNumber | None = None
    parameters: Positive
    active_parameters: Positive | None = None
    capabilities: Annotated[tuple[Capability, ...], Meta(min_length=1)]
    image_tokens: Positive | None = None
    source: str


class ModelEntry(Entry, frozen=True, kw_only=True):
    """A model; its variants are read one by one."""

    name: str
    title: str
    size: str
    released: str | None = None
    instruction_tuned: bool
    variants: list[Any] = field(default_factory=list)
    source: str | None = None


class _Variant(Entry, frozen=True, kw_only=True):
    name: str
    format: Literal["gguf"] = "gguf"
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
    types: dict[str, Any] | None = None
    projector: str | None = None
    drafter: str | None = None
    note: str | None = None
    grade: Grade
    source: str


class _Types(Entry, frozen=True):
    default: GgmlType | None = None
    mix: Mix | None = None
    embedding: GgmlType | None = None
    per_layer_embedding: GgmlType | None = None
    kept: GgmlType = "BF16"
    vocabulary: Positive | None = None
    unused_kv: bool = False


class _Tags(Entry, frozen=True):
    scheme: str
    place: str
    as_of: str
    source: str
    tags: list[Any] = field(default_factory=list)


class _Tag(Entry, frozen=True, kw_only=True):
    tag: str
    resolves_to: str
    model: str
    format: Literal["gguf", "mlx"] = "gguf"
    label: str
    training: Training
    size: str
    context: Positive
    digest: ShortDigest | None = None
    manifest_sha256: Sha256 | None = None
    verified: bool = False
    note: str | None = None
    as_of: str | None = None
    grade: Grade
    source: str | None = None


def read_family(values: object, where: str) -> Family:
    """``[family]``. All functions here raise CatalogError."""
    family = read(Family, values, where)
    day(family.released, "released", where)
    return family


def read_architecture(values: object, size: str, where: str) -> Architecture:
    """``[sizes.NAME]``. Per-layer values are written as ``[[value, layers], ...]``."""
    table = read(_Architecture, values, where)
    found = asdict(table)
    runs = table.feed_forward_length
    if (count := sum(layers for _, layers in runs)) != table.layers:
        raise fault(where, f"feed_forward_length is for {count} layers of {table.layers}")
    lengths = tuple(value for value, layers in runs for _ in range(layers))
    for key, same in _SAME_AS.items():
        if found[key] is None:
            found[key] = found[same]
    name = found.pop("architecture")
    if name not in families.names():
        raise fault(where, f"architecture = {name!r} is none of {', '.join(families.names())}")
    return Architecture(**found | {"name": name, "size": size, "feed_forward_length": lengths})


def read_file(values: object, where: str) -> CatalogFile:
    """``[files.NAME]``."""
    return read(CatalogFile, values, where)


def read_variant(values: object, model: str, file: FindFile, where: str) -> CatalogVariant:
    """``[[models.variants]]``; ``file`` finds the file that a key such as ``projector`` names."""
    table = read(_Variant, values, where)
    found = asdict(table) | {
        "model": model,
        "types": None if table.types is None else _types(table.types, f"{where}, types"),
        "projector": file("projector", table.projector),
        "drafter": file("drafter", table.drafter),
        "note": table.note or "",
    }
    return CatalogVariant(**found)


def _types(values: object, where: str) -> StoredTypes:
    table = read(_Types, values, where)
    if (table.default is None) == (table.mix is None):
        raise fault(where, "either default or mix, and not both")
    return StoredTypes(**asdict(table))


def read_tags(values: dict[str, Any] | None, where: str) -> list[PublishedTag]:
    """``[published]``."""
    if values is None:
        return []
    head = read(_Tags, values, where)
    day(head.as_of, "as_of", where)
    return [_tag(item, head, place) for item, place in tables(head.tags, "tags", where)]


def _tag(values: object, head: _Tags, where: str) -> PublishedTag:
    table = read(_Tag, values, where)
    if table.digest and table.manifest_sha256:
        raise fault(where, "digest is the beginning of manifest_sha256: give only one of them")
    found = asdict(table) | {
        "scheme": head.scheme,
        "place": head.place,
        "digest": table.manifest_sha256[:12] if table.manifest_sha256 else table.digest,
        "note": table.note or "",
        "as_of": day(table.as_of or head.as_of, "as_of", where),
        "source": table.source or head.source,
    }
    verified, context = found.pop("verified"), found.pop("context")
    return PublishedTag(**found, digest_verified=verified, context_length=context)
