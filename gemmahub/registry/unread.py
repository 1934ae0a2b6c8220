"""Models in formats that nothing here reads: what their store and their names say, not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import FormatError, NotFound
from gemmahub.precision.labels import label_in_name
from gemmahub.registry.artifacts import FileSummary
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.engines.contract import Artifact
    from gemmahub.registry.artifacts import Inspector


def summary_here(inspector: Inspector, artifact: Artifact) -> FileSummary:
    """The summary of an installed model: read, or what its store says, where its format is one that
    no reader here has; such a model is what it is, and not broken.

    Raises: as :meth:`gemmahub.registry.artifacts.Inspector.summary`; OSError.
    """
    try:
        return inspector.summary(artifact.path, artifact.files)
    except (FormatError, NotFound):
        if not artifact.format or inspector.reads(artifact.format):
            raise
    path = artifact.path
    files = artifact.files or ([f for f in path.rglob("*") if f.is_file()] if path.is_dir() else ())
    return FileSummary(
        format=artifact.format,
        size_bytes=sum(file.stat().st_size for file in files),
        mix=(),
        metadata={},
        label=label_in_name(path.name) or label_in_name(artifact.repository),
        chat_template=False,
        notes=(unread_note(artifact.format),),
    )


def unread_note(format_: str) -> str:
    """Why a model of a format has no figures."""
    return f"not measured: no installed plugin reads {one_line(format_, 40)} files"
