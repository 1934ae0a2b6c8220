"""A store of a plugin, from which only errors of ours come, and records as the contract says."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Inventory, Removal, Unfinished
from gemmahub.engines.hooks import CALL_SECONDS
from gemmahub.engines.validation import check_inventory, check_name
from gemmahub.errors import GemmahubError
from gemmahub.records.parsing import Unfit, checked
from gemmahub.text import one_line
from gemmahub.text.streams import kept_quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmahub.engines.contract import Artifact, Store

_LONGEST_SECONDS: Final = 300.0
_MANAGED: Final = ("tool", "root", "removal", "discard")


class GuardedStore:
    """A store that lists."""

    def __init__(self, store: Any, name: str) -> None:
        self.store = store
        self.name = name

    def inventory(self) -> Inventory:
        """What is there now. Raises: whatever the store does; Unfit."""
        return check_inventory(self.store.inventory(), self.name)


class GuardedManagedStore(GuardedStore):
    """A store that also says how its models are removed."""

    def __init__(self, store: Any, name: str) -> None:
        super().__init__(store, name)
        self.tool, self.root = store.tool, store.root
        if not isinstance(self.tool, str) or not isinstance(self.root, Path):
            raise Unfit(f"tool and root of the store {name} are a text and a Path")

    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        """What would go with these artifacts. Raises: GemmahubError."""
        with self._guarded():
            found = self.store.removal(artifacts)
            if not isinstance(found, Removal):
                raise Unfit(f"removal() returned {type(found).__name__}")
            return found

    def discard(self, path: Path) -> str:
        """Remove what nothing uses any more. Raises: OSError, GemmahubError."""
        with self._guarded():
            return one_line(str(self.store.discard(path) or ""))

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with kept_quiet():
                yield
        except (GemmahubError, OSError):
            raise
        except Exception as error:
            raise GemmahubError(
                one_line(f"the store {self.name} failed: {type(error).__name__}: {error}"),
                "this is a bug in its plugin: report it; GEMMAHUB_DEBUG=1 shows more",
            ) from error


class GuardedDownloadStore(GuardedManagedStore):
    """A store that downloads come into, too."""

    def unfinished(self) -> Sequence[Unfinished]:
        """What is left of downloads that are not running. Raises: GemmahubError, OSError."""
        with self._guarded():
            found = [checked(left, Unfinished) for left in self.store.unfinished()]
            return [replace(left, reference=one_line(left.reference)) for left in found]


def patience(store: Store) -> float:
    """Seconds that a store may take to say what is there.

    One that has to prepare something first, once, asks for more in an attribute ``patience``.
    """
    try:
        wanted = float(getattr(getattr(store, "store", store), "patience", CALL_SECONDS))
    except Exception:  # noqa: BLE001 - a property of code that nobody here wrote
        return CALL_SECONDS
    return min(max(wanted, CALL_SECONDS), _LONGEST_SECONDS)


def guarded_store(store: Any) -> Store:
    """The store as others see it. Raises: Unfit for what is none."""
    name = check_name(getattr(store, "name", None))
    if not callable(getattr(store, "inventory", None)):
        raise Unfit(f"the store {name} has no inventory()")
    if not all(hasattr(store, part) for part in _MANAGED):
        return GuardedStore(store, name)
    if hasattr(store, "unfinished"):
        return GuardedDownloadStore(store, name)
    return GuardedManagedStore(store, name)
