"""Places on this machine where models lie, and what ``gemmahub doctor`` is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract.models import Artifact


@dataclass(frozen=True, slots=True)
class BrokenEntry:
    """Something in a store that should be a model and is not; shown as a row with its reason.
    ``reference`` is what names it where it lies, empty where only its path does."""

    path: Path
    store: str
    reason: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What lies in one store."""

    artifacts: tuple[Artifact, ...] = ()
    broken: tuple[BrokenEntry, ...] = ()


class Store(Protocol):
    """A place on this machine where artifacts lie."""

    @property
    def name(self) -> str:
        """Short name, unique among the stores."""
        ...

    def inventory(self) -> Inventory:
        """What is there now. Reads folders, not files; a missing place is an empty inventory.

        It may take two seconds. A store that has to prepare a model once asks for more, up to five
        minutes, in an attribute ``patience``.
        """
        ...


@dataclass(frozen=True, slots=True)
class RemovalStep:
    """One path that goes when a model is removed. Steps are taken in their order.

    ``kind`` is ``entry`` (a name by which the tool finds the model: a link, a manifest, a ref),
    ``data`` (what entries lead to; :meth:`ManagedStore.discard` removes it, unless something else
    uses it by then) or ``folder`` (goes only when it is empty).
    """

    path: Path
    kind: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A path that stays, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Removal:
    """What leaves a store with some artifacts: entries first, then what they lead to."""

    steps: tuple[RemovalStep, ...] = ()
    kept: tuple[Kept, ...] = ()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What downloads of a repository left that were broken off and are not running: ``bytes`` on
    the disk, and how they go. ``pull`` of ``reference`` goes on with it."""

    reference: str
    bytes: int
    removal: Removal


@runtime_checkable
class DownloadStore(Protocol):
    """A store that downloads come into, and that removes models (:class:`ManagedStore`). Optional:
    others have nothing unfinished."""

    @property
    def name(self) -> str:
        """As of the store."""
        ...

    @property
    def tool(self) -> str:
        """As of the store."""
        ...

    def unfinished(self) -> Sequence[Unfinished]:
        """What is left of downloads that are not running, for each repository."""
        ...


@runtime_checkable
class ManagedStore(Protocol):
    """A store that also says how its models are removed. Optional: a plain Store lists only."""

    @property
    def name(self) -> str:
        """Short name, unique among the stores."""
        ...

    @property
    def tool(self) -> str:
        """The tool whose store it is, empty for a folder of the user's own."""
        ...

    @property
    def root(self) -> Path:
        """The folder that holds it all."""
        ...

    def inventory(self) -> Inventory:
        """As :meth:`Store.inventory`."""
        ...

    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        """What would go if these artifacts of this store went together. Changes nothing."""
        ...

    def discard(self, path: Path) -> str:
        """Remove a ``data`` path that nothing uses any more.

        Looks again whether something uses it, and then returns the reason why it stays; empty
        when it is gone. Raises: OSError.
        """
        ...


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of ``gemmahub doctor``; ``status`` is ``ok``, ``warning`` or ``failed``."""

    name: str
    status: str
    message: str
    hint: str = ""
