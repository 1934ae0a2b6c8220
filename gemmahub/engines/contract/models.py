"""Models: files that lie here, what a server offers, what is in memory now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os


@dataclass(frozen=True, slots=True)
class Artifact:
    """The file or files that hold one variant, on this machine.

    ``files`` are all the parts in order (one for most models); for a folder format ``path`` is the
    folder. ``sha256`` is set where a store recorded it. ``repository`` and ``revision`` tell where
    the files came from, where a store knows that; the revision of a tag is its manifest's sha256.

    ``reference`` is how it is named where it lies (``hf://user/repo/x.gguf``), empty where only
    its path names it. ``last_used`` is when its weights were last read, in seconds since 1970, by
    the file system's access time; None where that time cannot tell (see :func:`last_read`).
    ``parts`` are what the store keeps besides for this name, each with its file: ``ADAPTER``,
    ``DRAFT`` (a draft head), ``SYSTEM``, ``TEMPLATE``, ``PARAMETER``, ``MESSAGE``. Names with other
    adapters, system prompts or messages are other models, though their weights are the same.
    """

    format: str
    path: Path
    files: tuple[Path, ...] = ()
    name: str = ""
    store: str = ""
    repository: str = ""
    revision: str = ""
    sha256: str | None = None
    projector: Path | None = None
    reference: str = ""
    last_used: float | None = None
    parts: tuple[tuple[str, Path], ...] = ()

    @property
    def shown_name(self) -> str:
        """What messages call it: its file's name; that of a blob says nothing, so its reference."""
        first = self.files[0] if self.files else self.path
        return first.name if first.suffix else self.reference or self.name or first.name


def last_read(stat: os.stat_result) -> float | None:
    """When a file was last read, in seconds since 1970, or None.

    An access time that is not later than the time of the last change says nothing: the file was
    never read since, or the file system keeps no access times (``noatime``). Linux writes access
    times about once a day (``relatime``), so the answer is good to a day.
    """
    return stat.st_atime if stat.st_atime_ns > stat.st_mtime_ns else None


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that a server offers and that is no file here.

    ``reference`` is ``SERVER://NAME``, as ``list`` prints it and every command takes it; ``name``
    is the server's own, ``backend`` the name of the backend that talks to it, ``place`` the
    server's address. ``precision`` is the label that the server states (``Q4_K_M``), empty where it
    states none: nothing of a served model is measured. ``architecture`` is as in GGUF
    (``gemma3``). ``context`` is what the server gives a conversation, ``context_trained`` what the
    model was trained for, in tokens; None where the server does not say. ``images`` says whether
    messages may have images, ``loaded`` whether it is in memory now. ``file`` is the path
    that a server on this machine says it loaded: where a store here has that file, with a known
    checksum and the label that the server states, its precision was measured.
    """

    reference: str
    name: str
    backend: str
    place: str = ""
    precision: str = ""
    architecture: str = ""
    context: int | None = None
    context_trained: int | None = None
    images: bool | None = None
    loaded: bool | None = None
    file: str = ""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that an engine holds in memory now, whoever loaded it.

    ``name`` is the engine's own, ``reference`` what gemmahub knows it by, ``label`` the engine's
    label of its precision. Figures are the engine's own, in bytes and tokens; None where it does
    not say. ``device_bytes`` is the part of ``memory_bytes`` on accelerators, ``device`` where it
    lies in words. ``until`` is when it will be unloaded (ISO 8601), empty for never or not known;
    ``place`` is the server's address, empty for this process.
    """

    name: str
    backend: str
    reference: str = ""
    label: str = ""
    memory_bytes: int | None = None
    device_bytes: int | None = None
    context: int | None = None
    device: str = ""
    until: str = ""
    place: str = ""
