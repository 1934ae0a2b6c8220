"""What a place that models are pulled from says to the core: part of the plugin contract.

A :class:`Source` finds a :class:`RemoteArtifact` for a reference, opens its files so that a header
can be read without fetching the model, says where a pull would land, and pulls. Hugging Face is one
(:mod:`gemmahub.hub`), Ollama's registry another (its plugin has it). All records are frozen and
consist of plain values. Sizes are bytes.

A source raises :class:`gemmahub.errors.GemmahubError` and its subclasses (NotFound, NetworkError,
Gated, IntegrityError, UsageError, DoesNotFit), nothing else, and never prints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.source import OpenSource

WEIGHTS: Final = "weights"
PROJECTOR: Final = "projector"
DRAFTER: Final = "drafter"


Phase = Literal["waiting", "fetching", "verifying", "ready"]
"""What is done with a file: ``waiting`` for another process that fetches it, ``fetching``,
``verifying`` what has come, ``ready`` under its name."""

Basis = Literal["by name", "catalogue", "measured"]
"""Where a label comes from: the file's name, the catalogue (same sha256), or its own header."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a model that is elsewhere. ``size`` in bytes.

    ``kind`` is ``weights`` (all parts, in order), ``projector``, ``drafter``, or what else it is
    (``template``, ``license``, ``config``). ``sha256`` is what the place says its content has.
    ``repository`` is where it comes from, where that is not the artifact's.
    """

    name: str
    size: int
    kind: str = WEIGHTS
    sha256: str | None = None
    repository: str = ""


@dataclass(frozen=True, slots=True)
class RemoteArtifact:
    """A model as a source offers it: what a reference names, before anything is fetched.

    ``reference`` names it in full (``ollama://gemma3:4b``), ``revision`` pins the content that was
    found (a commit, a digest). ``repository`` is as in a local artifact. ``texts`` are small files
    that the source has read already, by their kind. ``place`` says for people where it is, when
    reference and revision do not. ``record`` is the source's own, which nobody else looks at.
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
    licence: str = ""
    place: str = ""
    record: Any = field(default=None, repr=False, compare=False)

    @property
    def weights(self) -> tuple[RemoteFile, ...]:
        """The files with the model's tensors, in their order."""
        return tuple(file for file in self.files if file.kind == WEIGHTS)

    @property
    def projector(self) -> RemoteFile | None:
        """The vision or audio projector that belongs to it."""
        return next((file for file in self.files if file.kind == PROJECTOR), None)

    @property
    def drafter(self) -> RemoteFile | None:
        """The head that drafts for it, where it was asked for."""
        return next((file for file in self.files if file.kind == DRAFTER), None)

    @property
    def download_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class LandingFile:
    """Where a file of a pull will be, and how many of its bytes are there, also from earlier."""

    path: Path
    here_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a pull lands. ``how`` says it for people, with what does the transfer.

    ``folder`` is where the space is needed, None where that is not on this machine or not known.
    ``need_bytes`` is what is still missing there. ``files`` are the artifact's, one by one in their
    order, where that is known. ``elsewhere`` says how people choose another disk.
    """

    how: str
    folder: Path | None
    need_bytes: int
    files: tuple[LandingFile, ...] = ()
    elsewhere: str = "--to a folder on another disk"


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is: bytes of one file of the artifact, and what is done with it.

    While ``verifying``, ``done_bytes`` is what has been read.
    """

    file: str
    done_bytes: int
    total_bytes: int
    phase: Phase = "fetching"


OnPull = Callable[[PullProgress], None]
"""Called while files come. What it raises ends the pull; what has arrived is kept where it can."""


@dataclass(frozen=True, slots=True)
class PulledFile:
    """A file that is here and verified. ``moved_bytes`` came over the network in this run."""

    name: str
    path: Path
    moved_bytes: int


@dataclass(frozen=True, slots=True)
class Pulled:
    """What is here after a pull. ``reference`` runs it; ``path`` is None for a server's own.

    ``files`` are those that the source verified, in the order of the artifact's.
    """

    reference: str
    path: Path | None
    moved_bytes: int
    files: tuple[PulledFile, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A model in a search result. ``size_bytes`` counts all parts, None where it is not known.

    ``label`` is None where nothing says it. ``bits_per_weight`` is None unless ``basis`` is
    "measured": its header was read before. ``qat`` says what the names or the catalogue claim.
    ``catalogued`` is the reference of the catalogue's entry for this file. ``kind`` is one of
    :data:`gemmahub.formats.kinds.WHAT`.
    """

    reference: str
    path: str
    format: str
    label: str | None
    basis: Basis
    size_bytes: int | None
    qat: bool
    bits_per_weight: float | None = None
    catalogued: str = ""
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class FoundRepository:
    """A repository in a search result, with the models in it.

    ``official``: published by Google. ``catalogued``: the catalogue knows files of it. ``gated`` is
    "", "auto" (accept and go) or "manual" (ask). ``downloads`` are those of the last 30 days.
    """

    name: str
    files: tuple[FoundFile, ...]
    official: bool = False
    catalogued: bool = False
    gated: str = ""
    private: bool = False
    licence: str = ""
    downloads: int | None = None
    projector: bool = False


class Source(Protocol):
    """A place that models are pulled from.

    It may also have

    - ``title: str``: what people call it ("Ollama's registry");
    - ``bare(name: str) -> str | None``: the full reference that a name means to it, with what was
      left out filled in (``gemma3`` is ``ollama://gemma3:latest``), None for what is no name of its
      own; asked without a network, for names alone and for what is behind its scheme;
    - ``search(text: str, limit: int) -> Sequence[FoundRepository]``: what it has for some words,
      the best first; raises NetworkError;
    - ``forget(artifact: RemoteArtifact) -> bool``: forget what it remembers of its headers, which
      made no sense; False where that was nothing.
    """

    @property
    def name(self) -> str:
        """Short name, unique among the sources."""
        ...

    @property
    def schemes(self) -> tuple[str, ...]:
        """The beginnings of references that it answers for, without ``://``: ``("ollama",)``."""
        ...

    def find(
        self, reference: str, *, revision: str | None = None, projector: bool = True
    ) -> RemoteArtifact | None:
        """What a reference of one of its schemes names; None when there is no such model.

        ``revision`` (a branch, tag or commit) goes before the reference's own. Without
        ``projector`` none is among the files. A source that has no such thing leaves the parameter
        out, or raises UsageError.

        Raises: NetworkError, Gated, IntegrityError for an answer that is not to be trusted.
        """
        ...

    def open(self, artifact: RemoteArtifact, file: RemoteFile) -> OpenSource:
        """A file of it, to be read at any offset without fetching it whole.

        Opening and reading raise: NetworkError, Gated, IntegrityError; RangesIgnored where only the
        whole file can be had.
        """
        ...

    def landing(self, artifact: RemoteArtifact, to: Path | None = None) -> Landing:
        """Where :meth:`pull` would put it. ``to`` is a folder in place of the source's own choice.

        Raises: NetworkError where its own choice cannot be reached, with what to do instead;
        UsageError where it has no choice.
        """
        ...

    def pull(
        self,
        artifact: RemoteArtifact,
        to: Path | None = None,
        on_progress: OnPull | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Pulled:
        """Fetch it. Resumes what an earlier try left, checks what came.

        ``cancelled`` is asked now and then, also while nothing comes; when it says so, Cancelled is
        raised. A source may leave it out: then only ``on_progress`` raises.

        Raises: NetworkError, Gated, IntegrityError, DoesNotFit for a full disk, Cancelled.
        """
        ...
