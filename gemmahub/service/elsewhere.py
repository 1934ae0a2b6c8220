"""The use case: a model that the source of a plugin has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub.engines.contract import Artifact
from gemmahub.errors import GemmahubError, NotFound
from gemmahub.registry.sources import guarded
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.sources import (
        Landing,
        OnPull,
        Pulled,
        RemoteArtifact,
        RemoteFile,
        Source,
    )
    from gemmahub.formats.source import OpenSource
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A model that a source has: what it is, measured from its header, and where it would go."""

    source: Source
    artifact: RemoteArtifact
    variant: Variant

    def landing(self, to: Path | None = None) -> Landing:
        """Where a pull would put it; see :meth:`gemmahub.engines.sources.Source.landing`."""
        with guarded(self.source):
            return self.source.landing(self.artifact, to)

    def pull(self, to: Path | None = None, on_progress: OnPull | None = None) -> Pulled:
        """Fetch it; see :meth:`gemmahub.engines.sources.Source.pull`."""
        with guarded(self.source):
            return self.source.pull(self.artifact, to, on_progress)

    def write_header(self, folder: Path) -> Path:
        """Sparse files of full length with the headers of its weights, for a dry load; the first.

        Raises: FormatError for what is no GGUF file; what reading raises; OSError.
        """
        from gemmahub.formats.gguf import read_gguf
        from gemmahub.formats.sparse import write_sparse

        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / Path(file.name).name for file in self.artifact.weights]
        for path, file in zip(paths, self.artifact.weights, strict=True):
            with guarded(self.source), self.source.open(self.artifact, file) as opened:
                header = opened.read(0, read_gguf(opened).data_offset)
            write_sparse(path, header, file.size)
        return paths[0]


def find(here: Installation, reference: str) -> Elsewhere | None:
    """What a reference names in a plugin's source; None where no source answers for it.

    Reads the manifest and the header of the weights, nothing else.

    Raises: NotFound where the source has no such model; NetworkError, Gated, FormatError,
    IntegrityError.
    """
    source = here.sources.of(reference)
    if source is None:
        return None
    with guarded(source):
        artifact = source.find(reference)
        if artifact is None:
            raise NotFound(
                f"{source.name} has no {one_line(reference)}",
                "check the name; gemmahub list --all shows what the catalogue knows",
            )
        return Elsewhere(source, artifact, _described(here, source, artifact))


def _described(here: Installation, source: Source, found: RemoteArtifact) -> Variant:
    """The variant, its precision measured from the header of its weights."""
    from gemmahub.formats.detect import open_model
    from gemmahub.registry.artifacts import summary_of

    weights = {Path(file.name).name: file for file in found.weights}
    if not weights:
        raise GemmahubError(f"{source.name}: {found.reference} has no weights", "name another one")
    path = Path(next(iter(weights)))
    summary = summary_of(open_model(path, _opener(source, found, weights)))
    artifact = Artifact(
        format=found.format,
        path=path,
        files=tuple(map(Path, weights)),
        name=found.name,
        repository=found.repository,
        revision=found.revision,
        sha256=found.weights[0].sha256 if len(weights) == 1 else None,
        projector=Path(found.projector.name) if found.projector else None,
        reference=found.reference,
    )
    variant = here.registry.described(artifact, summary)
    return replace(
        variant,
        artifacts=(),
        remote=f"{found.reference} at {found.revision[:12]}",
        chat_template=bool(variant.chat_template or found.texts.get("template")),
        notes=(*variant.notes, *map(one_line, found.notes)),
    )


def _opener(
    source: Source, found: RemoteArtifact, files: dict[str, RemoteFile]
) -> Callable[[Path], OpenSource]:
    return lambda path: source.open(found, files[path.name])


__all__ = ["Elsewhere", "find"]
