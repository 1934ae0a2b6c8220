"""What a place that models are pulled from says to the core: part of the plugin contract.

A :class:`Source` finds a :class:`RemoteArtifact` for a reference, opens its files so that a header
can be read without fetching the model, says where a pull would land, and pulls. All records are
frozen and consist of plain values.

A source raises :class:`gemmahub.errors.GemmahubError` and its subclasses (NotFound, NetworkError,
Gated, IntegrityError, UsageError, DoesNotFit), nothing else, and never prints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.source import OpenSource

WEIGHTS: Final = "weights"
PROJECTOR: Final = "projector"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a model that lies elsewhere. ``size`` in bytes.

    ``kind`` is ``weights`` (all parts, in order), ``projector``, or what else it is (``template``,
    ``license``, ``config``). ``sha256`` is what the place says its content has.
    """

    name: str
    size: int
    kind: str = WEIGHTS
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteArtifact:
    """A model as a source offers it: what a reference names, before anything is fetched.

    ``reference`` names it in full (``ollama://gemma3:4b``), ``revision`` pins the content that was
    found (a commit, a digest). ``repository`` is as in a local artifact. ``texts`` are small files
    that the source has read already, by their kind.
    """

    reference: str
    source: str
    name: str
    format: str
    files: tuple[RemoteFile, ...]
    repository: str = ""
    revision: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def weights(self) -> tuple[RemoteFile, ...]:
        """The files with the model's tensors, in their order."""
        return tuple(file for file in self.files if file.kind == WEIGHTS)

    @property
    def projector(self) -> RemoteFile | None:
        """The vision or audio projector that belongs to it."""
        return next((file for file in self.files if file.kind == PROJECTOR), None)

    @property
    def download_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a pull lands. ``how`` says it for people, with what does the transfer.

    ``folder`` is where the space is needed, None where that is not on this machine or not known.
    ``need_bytes`` is what is still missing there.
    """

    how: str
    folder: Path | None
    need_bytes: int


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is: bytes of one file, and what is done in words (``verifying``)."""

    file: str
    done_bytes: int
    total_bytes: int
    step: str = ""


OnPull = Callable[[PullProgress], None]
"""Called while files come. What it raises ends the pull; what has arrived is kept where it can."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What is here after a pull. ``reference`` runs it; ``path`` is None for a server's own."""

    reference: str
    path: Path | None
    moved_bytes: int


class Source(Protocol):
    """A place that models are pulled from.

    It may also have ``title: str``, what people call it ("Ollama's registry"), and
    ``bare(name: str) -> str | None``: the full reference that a name means to it, with what was
    left out filled in (``gemma3`` is ``ollama://gemma3:latest``), None for what is no name of its
    own. It is asked without a network, for names alone and for what is behind its scheme.
    """

    @property
    def name(self) -> str:
        """Short name, unique among the sources."""
        ...

    @property
    def schemes(self) -> tuple[str, ...]:
        """The beginnings of references that it answers for, without ``://``: ``("ollama",)``."""
        ...

    def find(self, reference: str) -> RemoteArtifact | None:
        """What a reference of one of its schemes names; None when there is no such model.

        Raises: NetworkError, Gated, IntegrityError for an answer that is not to be trusted.
        """
        ...

    def open(self, artifact: RemoteArtifact, file: RemoteFile) -> OpenSource:
        """A file of it, to be read at any offset without fetching it whole.

        Opening and reading raise: NetworkError, Gated, IntegrityError.
        """
        ...

    def landing(self, artifact: RemoteArtifact, to: Path | None = None) -> Landing:
        """Where :meth:`pull` would put it. ``to`` is a folder in place of the source's own choice.

        Raises: NetworkError where its own choice cannot be reached, with what to do instead.
        """
        ...

    def pull(
        self, artifact: RemoteArtifact, to: Path | None = None, on_progress: OnPull | None = None
    ) -> Pulled:
        """Fetch it. Resumes what an earlier try left, checks what came.

        Raises: NetworkError, Gated, IntegrityError, DoesNotFit for a full disk.
        """
        ...
