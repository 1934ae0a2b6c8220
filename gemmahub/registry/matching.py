"""Whether a file is what a reference names, or what the catalogue knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub.hub.reference import names_the_hub
from gemmahub.precision.labels import label_in_name

if TYPE_CHECKING:
    from gemmahub.catalog.records import CatalogVariant
    from gemmahub.engines.contract import Artifact
    from gemmahub.hub.reference import HuggingFaceReference


def on_disk(text: str) -> Path | None:
    """A file or folder that is called so from here, without ``./``."""
    path = Path(text.strip())
    try:
        return path if text.strip() and not names_the_hub(text) and path.exists() else None
    except (OSError, ValueError):  # too long for a name, or with a zero in it
        return None


def agree(artifact: Artifact, known: CatalogVariant) -> bool:
    """Whether the content can be the one that the catalogue knows: publishers replace files."""
    return None in (artifact.sha256, known.sha256) or artifact.sha256 == known.sha256


def is_from(artifact: Artifact, reference: HuggingFaceReference) -> bool:
    """Whether an installed file is what a reference to a repository names."""
    file, label, revision = reference.file, reference.label, reference.revision
    found = label_in_name(artifact.path.name) or label_in_name(artifact.repository)
    label_here = (found or "").lower()
    return (
        artifact.repository.lower() == reference.repository.lower()
        and (file is None or artifact.path.as_posix().lower().endswith(f"/{file.lower()}"))
        and (label is None or label.lower() in (label_here, label_here.removeprefix("ud-")))
        and (revision in (None, "main") or artifact.revision.startswith(revision or ""))
    )
