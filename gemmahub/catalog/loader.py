"""Reads the catalogue that ships with gemmahub: one TOML file a family, checked strictly."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import gemmahub.catalog as package
from gemmahub.catalog.entries import (
    FileTables,
    ModelEntry,
    read_architecture,
    read_family,
    read_member,
    read_tags,
    read_variant,
)
from gemmahub.catalog.records import Catalog, CatalogFile, Model
from gemmahub.catalog.scores import with_scores
from gemmahub.catalog.table import CatalogError, day, fault, read, tables

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from gemmahub.catalog.members import FamilyMember
    from gemmahub.catalog.published import PublishedTag
    from gemmahub.catalog.records import Family


@cache
def load_catalog() -> Catalog:
    """The catalogue, of all TOML files in the folder of this package; read once a process."""
    found = [file for folder in package.__path__ for file in sorted(Path(folder).glob("*.toml"))]
    return catalog_from({file.name: file.read_text("utf-8") for file in found})


def catalog_from(texts: Mapping[str, str]) -> Catalog:
    """A catalogue from TOML texts by file name; :class:`CatalogError` says what is wrong where."""
    families: list[Family] = []
    models: list[Model] = []
    tags: list[PublishedTag] = []
    members: list[FamilyMember] = []
    for name, text in texts.items():
        try:
            root = read(FileTables, tomllib.loads(text), name)
        except (ValueError, RecursionError) as error:
            raise fault(name, str(error)) from error
        family = read_family(root.family, f"{name}, family")
        families.append(family)
        models += with_scores(root.scores, _models(root, family, name), name)
        tags += read_tags(root.published, f"{name}, published")
        members += [read_member(v, family, at) for v, at in tables(root.members, "members", name)]
    catalog = Catalog.of(families, models, tags, members)
    _check_unique(catalog)
    return catalog


def _models(root: FileTables, family: Family, where: str) -> list[Model]:
    sizes = {n: read_architecture(v, n, f"{where}, sizes {n}") for n, v in root.sizes.items()}
    extras = {n: read(CatalogFile, v, f"{where}, files {n}") for n, v in root.files.items()}
    used: set[str] = set()
    models = []
    for values, place in tables(root.models, "models", where):
        table = read(ModelEntry, values, place)
        if table.name != table.name.lower():
            raise fault(place, "model names are lower case")
        if table.size not in sizes:
            raise fault(place, f"size = {table.size!r} is not one of {', '.join(sizes)}")

        def file(key: str, name: str | None, place: str = place) -> CatalogFile | None:
            if name is None:
                return None
            if name not in extras:
                raise fault(place, f"{key} {name!r} is not among the files")
            used.add(name)
            return extras[name]

        variants = tables(table.variants, "variants", place)
        model = Model(
            name=table.name,
            title=table.title,
            family=family.name,
            released=day(table.released or family.released, "released", place),
            instruction_tuned=table.instruction_tuned,
            architecture=sizes[table.size],
            variants=tuple(read_variant(v, table.name, file, at) for v, at in variants),
            source=table.source or family.source,
        )
        models.append(model)
    if unused := set(extras) - used:
        raise fault(where, f"files that no variant uses: {', '.join(sorted(unused))}")
    return models


def _check_unique(catalog: Catalog) -> None:
    variants = catalog.variants
    _unique("model", (m.name for m in catalog.models))
    _unique("member", (m.name for m in catalog.members))
    _unique("variant", (v.reference for v in variants))
    _unique("sha256", (v.sha256 for v in variants if v.sha256))
    _unique("file", ((v.repository.lower(), v.file) for v in variants))
    _unique("name and size", ((v.file.lower(), v.bytes) for v in variants if v.bytes))
    _unique("tag", (t.reference for t in catalog.published_tags))
    for tag in catalog.published_tags:
        if catalog.model(tag.model) is None:
            raise CatalogError(f"catalogue: tag {tag.tag} names the unknown model {tag.model}")


def _unique(what: str, keys: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise CatalogError(f"catalogue: the {what} {key} occurs twice")
        seen.add(key)
