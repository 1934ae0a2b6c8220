"""The tables of a catalogue file: what each may hold, and the records that they become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import field
from msgspec.structs import replace

from gemmahub.catalog.members import FamilyMember
from gemmahub.catalog.published import PublishedTag
from gemmahub.catalog.records import Architecture, CatalogFile, CatalogVariant, Family
from gemmahub.catalog.table import Entry, Positive, day, fault, read, table_of, tables
from gemmahub.memory import families

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
    members: list[Any] = field(default_factory=list)


class ModelEntry(Entry, frozen=True, kw_only=True):
    """A model; its variants are read one by one."""

    name: str
    title: str
    size: str
    released: str | None = None
    instruction_tuned: bool
    variants: list[Any] = field(default_factory=list)
    source: str | None = None


class _Runs(Entry, frozen=True):
    feed_forward_length: list[tuple[Positive, Positive]]


class _Tags(Entry, frozen=True):
    scheme: str
    place: str
    as_of: str
    source: str
    tags: list[Any] = field(default_factory=list)


def read_family(values: object, where: str) -> Family:
    """``[family]``. All functions here raise CatalogError."""
    family = read(Family, values, where)
    day(family.released, "released", where)
    return family


def read_architecture(values: object, size: str, where: str) -> Architecture:
    """``[sizes.NAME]``. Per-layer values are written as ``[[value, layers], ...]``."""
    found = table_of(values, where)
    runs = read(_Runs, {"feed_forward_length": found.pop("feed_forward_length", None)}, where)
    lengths = runs.feed_forward_length
    layers = sum(count for _, count in lengths)
    if layers != found.get("layers", layers):
        raise fault(where, f"feed_forward_length is for {layers} layers of {found['layers']}")
    found["feed_forward_length"] = [value for value, count in lengths for _ in range(count)]
    for key, same in _SAME_AS.items():
        if same in found:
            found.setdefault(key, found[same])
    name = found.get("architecture")
    if name is not None and name not in families.names():
        raise fault(where, f"architecture = {name!r} is not one of {', '.join(families.names())}")
    return read(Architecture, found | {"size": size}, where)


def read_variant(values: object, model: str, file: FindFile, where: str) -> CatalogVariant:
    """``[[models.variants]]``; ``file`` finds the file that a key such as ``projector`` names."""
    found = table_of(values, where)
    beside = {key: file(key, found[key]) for key in ("projector", "drafter") if key in found}
    return read(CatalogVariant, found | beside | {"model": model}, where)


def read_member(values: object, family: Family, where: str) -> FamilyMember:
    """``[[members]]``; the licence is the family's unless it has its own."""
    usual = {"licence": family.licence, "licence_url": family.licence_url}
    return read(FamilyMember, usual | table_of(values, where), where)


def read_tags(values: dict[str, Any] | None, where: str) -> list[PublishedTag]:
    """``[published]``."""
    if values is None:
        return []
    head = read(_Tags, values, where)
    day(head.as_of, "as_of", where)
    return [_tag(item, head, place) for item, place in tables(head.tags, "tags", where)]


def _tag(values: object, head: _Tags, where: str) -> PublishedTag:
    about = {"scheme": head.scheme, "place": head.place}
    usual = {"as_of": head.as_of, "source": head.source}
    tag = read(PublishedTag, usual | table_of(values, where) | about, where)
    day(tag.as_of, "as_of", where)
    if tag.manifest_sha256 is None:
        return tag
    if tag.digest:
        raise fault(where, "digest is the beginning of manifest_sha256: give only one of them")
    return replace(tag, digest=tag.manifest_sha256[:12])
