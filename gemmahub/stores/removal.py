"""Removing models: a plan first, then its steps in an order that may be cut off anywhere.

Names go before what they lead to, so no name ever leads to nothing. The steps are written down
before the first one: what is cut off by a crash, :func:`finish_removals` ends, without touching
anything that was put there since.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Artifact, DownloadStore, Kept, ManagedStore, Removal
from gemmahub.errors import GemmahubError
from gemmahub.stores.disk import freed_by, may_write
from gemmahub.stores.identity import OTHER_MODEL
from gemmahub.stores.journal import Busy, alone_in, new_record, read_record, write_record
from gemmahub.stores.open_files import users_of
from gemmahub.stores.removal_steps import MarkedStep, Removed, carry_out, reasons
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

JOURNALS: Final = "removals"
_WAIT_SECONDS: Final = 60.0  # a removal takes a few: more than that is one that hangs
_IN_USE: Final = "{} has it open: the space is freed when that program closes it"


@dataclass(frozen=True, slots=True)
class StoreRemoval:
    """What goes from one store: its name, the tool it belongs to, and the steps."""

    store: str
    tool: str
    artifacts: tuple[Artifact, ...]
    removal: Removal
    steps: tuple[MarkedStep, ...]
    freed_bytes: int

    @property
    def lost(self) -> tuple[str, ...]:
        """What people made of the weights under a name, and that goes with it: "NAME: SYSTEM"."""
        made = (
            (a.reference or a.name, ", ".join(n for n, _ in a.parts if n in OTHER_MODEL))
            for a in self.artifacts
        )
        return tuple(f"{name}: {parts}" for name, parts in made if parts)

    def as_json(self) -> dict[str, Any]:
        """Store, models, paths and bytes."""
        return {
            "store": self.store,
            "models": [str(artifact.path) for artifact in self.artifacts],
            "paths": [str(s.path) for s in self.removal.steps if s.kind != "folder"],
            "freed_bytes": self.freed_bytes,
        }


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """What would be removed; ``freed_bytes`` are those the file systems get back for the contents
    (names and notes of a few KB are not counted).

    ``kept`` stays because something uses it; ``refused`` are models that this plan may not touch,
    each with what to do about it. ``in_use`` goes although a program has it open.
    """

    stores: tuple[StoreRemoval, ...]
    kept: tuple[Kept, ...]
    refused: tuple[Kept, ...]
    freed_bytes: int
    in_use: tuple[Kept, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The plan as ``rm --dry-run --json`` prints it."""
        return {
            "stores": [store.as_json() for store in self.stores],
            "freed_bytes": self.freed_bytes,
            "kept": reasons(self.kept),
            "refused": reasons(self.refused),
            "in_use": reasons(self.in_use),
        }


def plan_removal(
    artifacts: Iterable[Artifact], stores: Sequence[object], *, named: Collection[str] = ()
) -> RemovalPlan:
    """What removing these models would do; nothing is changed.

    ``named`` are the stores that the user named: then only these, otherwise all but those of other
    tools. Raises: GemmahubError when a store cannot be read, for then it is not known what uses
    what.
    """
    by_name = {store.name: store for store in stores if isinstance(store, ManagedStore)}
    wanted: dict[str, list[Artifact]] = {}
    refused: list[Kept] = []
    for artifact in dict.fromkeys(artifacts):
        reason = _refusal(artifact, by_name, named)
        if reason:
            refused.append(Kept(artifact.path, reason))
        else:
            wanted.setdefault(artifact.store, []).append(artifact)
    planned = [
        _planned(by_name[name], _ask(by_name[name], chosen), chosen)
        for name, chosen in wanted.items()
    ]
    return _whole(planned, refused)


def plan_unfinished(reference: str, stores: Sequence[object]) -> RemovalPlan | None:
    """What removing the interrupted downloads of a repository would do; None without any."""
    planned = [
        _planned(store, left.removal)
        for store in stores
        if isinstance(store, DownloadStore) and isinstance(store, ManagedStore)
        for left in store.unfinished()
        if left.reference.casefold() == reference.casefold()
    ]
    return _whole(planned, []) if planned else None


def _planned(
    store: ManagedStore, removal: Removal, chosen: Sequence[Artifact] = ()
) -> StoreRemoval:
    freed, _ = freed_by(_data(removal))
    steps = tuple(MarkedStep.of(step) for step in removal.steps)
    return StoreRemoval(store.name, store.tool, tuple(chosen), removal, steps, freed)


def _whole(planned: Sequence[StoreRemoval], refused: Sequence[Kept]) -> RemovalPlan:
    kept = [each for store in planned for each in store.removal.kept]
    data = [path for store in planned for path in _data(store.removal)]
    total, linked = freed_by(data)
    kept += [
        Kept(path, "its content has another name (a hard link), which stays") for path in linked
    ]
    in_use = [Kept(path, _IN_USE.format(one_line(user))) for path, user in users_of(data).items()]
    return RemovalPlan(
        tuple(planned),
        tuple(dict.fromkeys(kept)),
        tuple(dict.fromkeys(refused)),
        total,
        tuple(in_use),
    )


def remove(
    plan: RemovalPlan,
    stores: Sequence[object],
    *,
    data: Path,
    on_step: Callable[[str], None] | None = None,
) -> Removed:
    """Carry a plan out. ``data`` is gemmahub's data folder, for the record of unfinished removals;
    ``on_step`` is told each step before it is taken.

    A path that is another than when the plan was made stays. Raises: GemmahubError, with nothing
    removed, when a folder cannot be written; Busy while another process removes models.
    """
    by_name = {store.name: store for store in stores if isinstance(store, ManagedStore)}
    report = on_step or (lambda text: None)
    done: list[Removed] = []
    with alone_in(data / JOURNALS, _WAIT_SECONDS):
        for planned in plan.stores:
            _check_writable(planned.removal)
            record = {"store": planned.store, "steps": [step.as_json() for step in planned.steps]}
            journal = new_record(data / JOURNALS)
            report(f"record {journal}")
            # A full disk must not keep anybody from making room: the order of steps is safe.
            with contextlib.suppress(OSError):
                write_record(journal, record)
            result = carry_out(by_name[planned.store], planned.steps, report)
            done.append(result)
            if not result.failed:
                report(f"forget {journal}")
                _forget(journal)
    return _together(done, plan.kept)


def finish_removals(data: Path, stores: Sequence[object]) -> Removed:
    """End the removals that were cut off, as far as their paths are still what they were."""
    by_name = {store.name: store for store in stores if isinstance(store, ManagedStore)}
    done: list[Removed] = []
    with contextlib.suppress(Busy), alone_in(data / JOURNALS):
        for journal in _records(data):
            record = read_record(journal)
            store = by_name.get(str(record.get("store")))
            if store is None:
                continue  # its plugin is not here now
            written = (MarkedStep.read(each, store.root) for each in record.get("steps", ()))
            result = carry_out(store, [step for step in written if step], lambda text: None)
            done.append(result)
            if not result.failed:
                _forget(journal)
    return _together(done, ())


def unfinished_removals(data: Path) -> list[Path]:
    """Records of removals that were cut off; none while a process is at work on one."""
    if _records(data):
        with contextlib.suppress(Busy), alone_in(data / JOURNALS):
            return _records(data)
    return []


def _records(data: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted((data / JOURNALS).glob("*.json"))
    return []


def _forget(journal: Path) -> None:
    with contextlib.suppress(OSError):
        journal.unlink()


def _refusal(artifact: Artifact, by_name: dict[str, ManagedStore], named: Collection[str]) -> str:
    store = by_name.get(artifact.store)
    if named and artifact.store not in named:
        return f"it is in the store {artifact.store!r}, which was not chosen"
    if store is None:
        return f"the store {artifact.store!r} does not support removal"
    if store.tool and artifact.store not in named:
        return f"it belongs to {store.tool}: use --store {artifact.store}"
    return ""


def _ask(store: ManagedStore, artifacts: Sequence[Artifact]) -> Removal:
    try:
        return store.removal(artifacts)
    except OSError as error:
        place = one_line(str(error.filename or store.root))
        raise GemmahubError(
            f"{place} cannot be read ({error.strerror}): so its users are unknown",
            "correct its permissions, then try again",
        ) from error


def _files(removal: Removal) -> Iterator[Path]:
    return (step.path for step in removal.steps if step.kind != "folder")


def _data(removal: Removal) -> Iterator[Path]:
    return (step.path for step in removal.steps if step.kind == "data")


def _check_writable(removal: Removal) -> None:
    for folder in dict.fromkeys(path.parent for path in _files(removal)):
        if os.path.lexists(folder) and not may_write(folder):
            raise GemmahubError(
                f"nothing was removed: {one_line(str(folder))} is not writable",
                "run it as the user who owns that folder",
            )


def _together(done: Sequence[Removed], kept: Iterable[Kept]) -> Removed:
    return Removed(
        sum(each.freed_bytes for each in done),
        tuple(path for each in done for path in each.removed),
        tuple(dict.fromkeys([*kept, *(kept for each in done for kept in each.kept)])),
        tuple(failed for each in done for failed in each.failed),
    )
