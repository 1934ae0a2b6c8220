"""Whether a file is what a reference names, or what the catalogue knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub.catalog.members import member_of
from gemmahub.catalog.records import WHOLE
from gemmahub.errors import UsageError
from gemmahub.formats.reader import FOLDER_FORMATS
from gemmahub.hub.reference import HuggingFaceReference, names_the_hub
from gemmahub.precision.labels import label_in_name
from gemmahub.registry.reference import PathReference, parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.catalog.members import FamilyMember
    from gemmahub.catalog.records import Catalog, CatalogVariant
    from gemmahub.catalog.replaced import Outdated
    from gemmahub.engines.contract import Artifact
    from gemmahub.registry.artifacts import FileSummary
    from gemmahub.registry.sources import Sources
    from gemmahub.registry.variants import Variant


def on_disk(text: str) -> Path | None:
    """A file or folder that is called so from here, without ``./``."""
    path = Path(text.strip())
    try:
        return path if text.strip() and not names_the_hub(text) and path.exists() else None
    except (OSError, ValueError):  # too long for a name, or with a zero in it
        return None


def catalogued(catalog: Catalog, artifact: Artifact, summary: FileSummary) -> CatalogVariant | None:
    """What the catalogue says of a file: by sha256, else by repository or name, and size; a folder
    is known by its repository alone."""
    if artifact.sha256 and (found := catalog.by_sha256(artifact.sha256)):
        return found
    if summary.format in FOLDER_FORMATS:
        return catalog.by_file(artifact.repository, WHOLE)
    name = artifact.path.name
    by_file = catalog.by_file(artifact.repository, name)
    if by_file is not None and by_file.bytes in (None, summary.size_bytes):
        return by_file if agree(artifact, by_file) else None
    found = catalog.by_name_and_bytes(name, summary.size_bytes)
    if found is None or not agree(artifact, found):
        return None
    return found if _is_built_so(catalog, summary, found) else None


def replaced_file(
    catalog: Catalog, artifact: Artifact, summary: FileSummary, known: CatalogVariant | None
) -> tuple[CatalogVariant | None, Outdated | None]:
    """The variant whose publisher replaced this very file, and what is to be said of it; a tag may
    have been moved too, of which no variant is known."""
    tag = catalog.published(artifact.reference)
    moved = tag.outdated(artifact.revision) if tag else None
    if known is not None or moved is not None:
        return None, moved
    found = catalog.replaced.find(artifact.path.name, summary.size_bytes, artifact.sha256)
    if found is None:
        return None, None
    name, _, variant_name = found.pull.partition(":")
    variant = catalog.variant(name, variant_name)
    if variant is None or (not artifact.sha256 and not _is_built_so(catalog, summary, variant)):
        return None, None
    return variant, found


def catalogue_notes(
    catalog: Catalog, artifact: Artifact, entry: CatalogVariant | None, *, replaced: bool
) -> tuple[str, ...]:
    """What the catalogue notes of a file, of its entry, and of what lies beside it in its tag; that
    a file lies where the catalogue has one, and is not that one."""
    notes = [entry.note] if entry and entry.note and not replaced else []
    tag = catalog.published(artifact.reference)
    if tag and tag.inside and tag.is_now(artifact.revision):
        notes.append(f"its tag has {tag.inside}")
    if not entry and catalog.by_file(artifact.repository, artifact.path.name) is not None:
        notes.append(
            f"not the file that the catalogue knows in {artifact.repository}: its own "
            "contents describe it"
        )
    return tuple(notes)


def member_here(catalog: Catalog, artifact: Artifact, summary: FileSummary) -> FamilyMember | None:
    """Which model for one purpose a file is, by its architecture, else by its names."""
    names = (artifact.repository, artifact.reference, artifact.path.name, summary.name)
    architecture = summary.metadata.get("general.architecture")
    return member_of(catalog.members, names, architecture or "")


def _is_built_so(catalog: Catalog, summary: FileSummary, known: CatalogVariant) -> bool:
    """Whether the architecture agrees too: a name and a size can be made up."""
    model = catalog.model(known.model)
    named = summary.metadata.get("general.architecture")
    return model is not None and named == model.architecture.name


def agree(artifact: Artifact, known: CatalogVariant) -> bool:
    """Whether the content can be the one that the catalogue knows: publishers replace files."""
    return None in (artifact.sha256, known.sha256) or artifact.sha256 == known.sha256


def called(variants: Iterable[Variant], *names: str) -> Variant | None:
    """What a store calls by one of these names; else the first that it calls so with its revision
    at the end (``SCHEME://NAME/3``): a store lists its newest first."""
    wanted = {name.casefold() for name in names}
    without_revision = None
    for variant in variants:
        for artifact in variant.artifacts:
            name = artifact.reference.casefold()
            if name in wanted:
                return variant
            end = f"/{artifact.revision.casefold()}"
            if without_revision is None and len(end) > 1 and name.removesuffix(end) in wanted:
                without_revision = variant
    return without_revision


def named_places(text: str, places: Iterable[Artifact], sources: Sources) -> tuple[Artifact, ...]:
    """Those that a reference names by the name that a store has for them, by a path or a revision.

    Raises: UsageError for a path that is none; GemmahubError for a source that is defective.
    """
    try:
        reference = parse_reference(text)
    except UsageError:
        reference = PathReference(Path(text.strip()))
    if isinstance(reference, PathReference):
        place = reference.path.absolute()
        return tuple(a for a in places if a.path.absolute() == place)
    full = sources.full_names(reference)
    names = {name.casefold() for name in (text.strip(), str(reference), *full)}
    named = tuple(a for a in places if a.reference.casefold() in names)
    if not named and isinstance(reference, HuggingFaceReference):
        named = tuple(a for a in places if is_named(a, reference, text))
    return named


def is_named(artifact: Artifact, reference: HuggingFaceReference, text: str) -> bool:
    """Whether an installed file is what a reference to a repository names, written as ``text``; a
    store may have it under this very name."""
    if artifact.reference.partition("://")[2].casefold() == text.strip().casefold():
        return True
    file, label, revision = reference.file, reference.label, reference.revision
    names = (artifact.path.name, artifact.name, artifact.repository)
    found = next(filter(None, map(label_in_name, names)), None)
    label_here = (found or "").lower()
    return (
        artifact.repository.lower() == reference.repository.lower()
        and (file is None or artifact.path.as_posix().lower().endswith(f"/{file.lower()}"))
        and (label is None or label.lower() in (label_here, label_here.removeprefix("ud-")))
        and (revision in (None, "main") or artifact.revision.startswith(revision or ""))
    )
