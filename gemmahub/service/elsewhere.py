"""The use case: a model that the source of a plugin has, such as a tag of Ollama's registry."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub.engines.contract import Artifact
from gemmahub.errors import GemmahubError, NotFound
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        with _guarded(self.source):
            return self.source.landing(self.artifact, to)

    def pull(self, to: Path | None = None, on_progress: OnPull | None = None) -> Pulled:
        """Fetch it; see :meth:`gemmahub.engines.sources.Source.pull`."""
        with _guarded(self.source):
            return self.source.pull(self.artifact, to, on_progress)


def source_of(here: Installation, reference: str) -> Source | None:
    """The source that answers for a reference: the first with its scheme. None: no plugin's."""
    scheme, separator, _ = reference.partition("://")
    if not separator:
        return None
    for _, source in here.plugins_manager.sources():
        if scheme in getattr(source, "schemes", ()):
            found: Source = source
            return found
    return None


def find(here: Installation, reference: str) -> Elsewhere | None:
    """What a reference names in a plugin's source; None where no source answers for it.

    Reads the manifest and the header of the weights, nothing else.

    Raises: NotFound where the source has no such model; NetworkError, Gated, FormatError,
    IntegrityError.
    """
    source = source_of(here, reference)
    if source is None:
        return None
    with _guarded(source):
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


@contextmanager
def _guarded(source: Source) -> Iterator[None]:
    """What is no GemmahubError becomes one that names the source."""
    try:
        yield
    except GemmahubError:
        raise
    except Exception as error:
        name = one_line(str(getattr(source, "name", "a source")), 40)
        raise GemmahubError(
            one_line(f"the source {name} failed: {type(error).__name__}: {error}"),
            "this is a defect of its plugin: report it; GEMMAHUB_DEBUG=1 shows more",
        ) from error


__all__ = ["Elsewhere", "find", "source_of"]
