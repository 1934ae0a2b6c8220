"""Which installed files a reference to a repository names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.precision.labels import label_in_name

if TYPE_CHECKING:
    from gemmahub.engines.contract import Artifact
    from gemmahub.hub.reference import HuggingFaceReference


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
