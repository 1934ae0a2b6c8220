"""Taking the steps of a removal, each only on what its path was when the removal was planned."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmahub.engines.contract import Kept, ManagedStore, RemovalStep
from gemmahub.errors import GemmahubError
from gemmahub.stores.disk import allocated
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal did. ``freed_bytes`` were counted file by file; ``failed`` is what would not
    go: the rest of that store was left alone.
    """

    freed_bytes: int
    removed: tuple[Path, ...]
    kept: tuple[Kept, ...]
    failed: tuple[Kept, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The result as ``rm --json`` prints it."""
        return {
            "freed_bytes": self.freed_bytes,
            "removed": [str(path) for path in self.removed],
            "kept": reasons(self.kept),
            "failed": reasons(self.failed),
        }


def reasons(kept: Iterable[Kept]) -> list[dict[str, str]]:
    """Paths with their reasons, for JSON."""
    return [{"path": str(each.path), "reason": each.reason} for each in kept]


@dataclass(frozen=True, slots=True)
class MarkedStep:
    """A step, with what its path was when the plan was made; None for a path that was not there."""

    step: RemovalStep
    mark: tuple[int, int, int] | None

    @classmethod
    def of(cls, step: RemovalStep) -> MarkedStep:
        """A step with what its path is now, while the plan is made."""
        return cls(step, _mark(step.path))

    @classmethod
    def read(cls, data: Any, root: Path) -> MarkedStep | None:
        """A step from a record; None when it is damaged or leads out of ``root``."""
        try:
            mark = data["mark"]
            step = RemovalStep(Path(data["path"]), str(data["kind"]))
            marked = cls(step, None if mark is None else (int(mark[0]), int(mark[1]), int(mark[2])))
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            return None
        plain = ".." not in step.path.parts and "\0" not in str(step.path)
        inside = root in step.path.parents and plain
        return marked if inside else None

    def as_json(self) -> dict[str, Any]:
        """The step as it stands in a record."""
        mark = None if self.mark is None else list(self.mark)
        return {"path": str(self.step.path), "kind": self.step.kind, "mark": mark}

    def unchanged(self) -> bool:
        """Whether the path is still there, and what it was."""
        return self.mark is not None and _mark(self.step.path) == self.mark


def carry_out(
    store: ManagedStore, steps: Sequence[MarkedStep], report: Callable[[str], None]
) -> Removed:
    """Take the steps in order; the first that fails ends it."""
    freed = 0
    removed: list[Path] = []
    kept: list[Kept] = []
    before = {marked.step.path: _freed_now(marked.step.path) for marked in steps}
    for marked in steps:
        path, kind = marked.step.path, marked.step.kind
        report(f"{kind} {path}")
        try:
            if kind == "folder":
                _remove_empty(path)
                continue
            if not marked.unchanged():
                if os.path.lexists(path):
                    kept.append(Kept(path, "it changed since the removal was planned"))
                elif before[path] is not None:  # it went with the step before
                    removed.append(path)
                    freed += before[path] or 0
                continue
            size = _freed_now(path)
            reason = store.discard(path) if kind == "data" else _unlink(path)
        except (OSError, GemmahubError) as error:
            reason = getattr(error, "strerror", None) or one_line(str(error))
            return Removed(freed, tuple(removed), tuple(kept), (Kept(path, reason),))
        if reason:
            kept.append(Kept(path, reason))
        else:
            removed.append(path)
            freed += (size or 0) if kind == "data" else 0
    return Removed(freed, tuple(removed), tuple(kept))


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _freed_now(path: Path) -> int | None:
    """Bytes that removing this name frees now; None where it is not."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return allocated(status) if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 else 0


def _unlink(path: Path) -> str:
    path.unlink(missing_ok=True)
    return ""


def _remove_empty(path: Path) -> None:
    with contextlib.suppress(OSError):  # not empty, or not there: both are fine
        path.rmdir()
