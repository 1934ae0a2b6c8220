"""Carrying out a plan to share copies, and undoing it.

For each copy: a new name of the kept file is made beside it (a hard link, or a reflink) and renamed
over it, which is one step for the file system. Killed at any moment, every path holds the whole
content. What was done stands in a record in the data folder, written before anything is changed;
with it :func:`undo_dedupe` makes the copies again.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Kept
from gemmahub.errors import GemmahubError, NotFound
from gemmahub.records.whole_file import replace_file, sync_folder
from gemmahub.stores.dedupe import REFLINK, DedupePlan, Share
from gemmahub.stores.dedupe_record import (
    check_space,
    still_shared,
    valid_entry,
    write_dedupe_record,
)
from gemmahub.stores.journal import alone_in, new_record, read_record
from gemmahub.stores.open_files import users_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS: Final = "dedupe"
_FICLONE: Final = 0x40049409
"""ioctl request ``FICLONE`` (Linux ``include/uapi/linux/fs.h``: ``_IOW(0x94, 9, int)``)."""
_BLOCK_BYTES: Final = 4 << 20
_UNDONE: Final = ".undone"
_UNSHARED: Final = "it no longer shares its content"
_NO_REFLINK: Final = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class Deduped:
    """What was shared. ``record`` undoes it; ``skipped`` are copies that were left, and why."""

    record: Path | None
    shared: tuple[Path, ...]
    freed_bytes: int
    skipped: tuple[Kept, ...]

    def as_json(self) -> dict[str, Any]:
        """The result as ``dedupe --json`` prints it."""
        return {
            "record": None if self.record is None else str(self.record),
            "shared": [str(path) for path in self.shared],
            "freed_bytes": self.freed_bytes,
            "skipped": [{"path": str(s.path), "reason": s.reason} for s in self.skipped],
        }


@dataclass(frozen=True, slots=True)
class Undone:
    """Which copies were made again, and which not and why."""

    copied: tuple[Path, ...]
    skipped: tuple[Kept, ...]

    def as_json(self) -> dict[str, Any]:
        """The result as ``dedupe --undo --json`` prints it."""
        return {
            "copied": [str(path) for path in self.copied],
            "skipped": [{"path": str(s.path), "reason": s.reason} for s in self.skipped],
        }


def dedupe(
    plan: DedupePlan,
    *,
    data: Path,
    on_bytes: Callable[[int], None] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Deduped:
    """Carry a plan out. Each copy is first compared byte for byte with what it is to become:
    a name that a store gave a blob is no proof of what is in it.

    ``data`` is gemmahub's data folder; ``on_bytes`` gets the bytes as they are compared,
    ``on_step`` is told each step before it is taken. Raises: GemmahubError, with nothing changed,
    when the record cannot be written; Busy while another process shares files.
    """
    report = on_step or (lambda text: None)
    if not plan.shares:
        return Deduped(None, (), 0, plan.refused)
    with alone_in(data / RECORDS):
        for earlier in dedupe_records(data):
            clean_up(earlier)
        record = new_record(data / RECORDS)
        report(f"record {record}")
        entries = write_dedupe_record(record, plan)
        return _share(plan, record, entries, report, on_bytes)


def _share(
    plan: DedupePlan,
    record: Path,
    entries: list[dict[str, Any]],
    report: Callable[[str], None],
    on_bytes: Callable[[int], None] | None,
) -> Deduped:
    shared: list[Path] = []
    skipped = list(plan.refused)
    freed = 0
    in_use = users_of(path for share in plan.shares for path in (share.path, share.kept))
    for share, entry in zip(plan.shares, entries, strict=True):
        temporary = share.path.with_name(entry["temporary"])
        try:
            reason = _changed(share, entry, in_use) or _differ(share, on_bytes)
            if not reason:
                _replace(share, temporary, entry, report, reflink=plan.method == REFLINK)
                shared.append(share.path)
                freed += share.freed_bytes
                continue
        except OSError as error:
            reason = _why(error)
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        skipped.append(Kept(share.path, reason))
    return Deduped(record, tuple(shared), freed, tuple(skipped))


def dedupe_records(data: Path) -> list[Path]:
    """The records that can be undone, the oldest first."""
    with contextlib.suppress(OSError):
        return sorted((data / RECORDS).glob("*.json"))
    return []


def undo_dedupe(
    record: Path,
    *,
    on_bytes: Callable[[int], None] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Undone:
    """Make the copies of a record again, each with the mode and times that it had.

    A path that does not share its content any more is left as it is. When all is done the record
    is put aside. Raises: NotFound for no such record; DoesNotFit when the disk is too small; Busy
    while another process shares files.
    """
    report = on_step or (lambda text: None)
    data = read_record(record)
    if not data:
        raise NotFound(
            f"{one_line(str(record))} is not a record of a dedupe run",
            f"the records are in {one_line(str(record.parent))}",
        )
    with alone_in(record.parent):
        clean_up(record)
        return _undo(record, data, report, on_bytes)


def _undo(
    record: Path,
    data: dict[str, Any],
    report: Callable[[str], None],
    on_bytes: Callable[[int], None] | None,
) -> Undone:
    entries = [entry for each in data.get("shares", ()) if (entry := valid_entry(each))]
    todo = [entry for entry in entries if still_shared(entry)]
    check_space(todo)
    copied: list[Path] = []
    own = "a reflink is a separate copy" if data.get("method") == REFLINK else _UNSHARED
    skipped = [Kept(Path(e["path"]), own) for e in entries if e not in todo]
    for entry in todo:
        path = Path(entry["path"])
        try:
            _copy_again(path, entry, report, on_bytes)
            copied.append(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                path.with_name(entry["temporary"]).unlink(missing_ok=True)
            skipped.append(Kept(path, _why(error)))
    if len(copied) == len(todo):
        report(f"put aside {record}")
        record.rename(record.with_name(record.name + _UNDONE))
    return Undone(tuple(copied), tuple(skipped))


def clean_up(record: Path) -> None:
    """Remove temporary names that a run which was cut off has left; only names in its record."""
    for each in read_record(record).get("shares", ()):
        if entry := valid_entry(each):
            with contextlib.suppress(OSError):
                Path(entry["path"]).with_name(entry["temporary"]).unlink()


# --- one copy ----------------------------------------------------------------------------------


def _replace(
    share: Share,
    temporary: Path,
    entry: dict[str, Any],
    report: Callable[[str], None],
    *,
    reflink: bool,
) -> None:
    report(f"name {temporary}")
    if reflink:
        _clone(share.kept, temporary)
        _restore_facts(temporary, entry)
    else:
        os.link(share.kept, temporary)
    report(f"replace {share.path}")
    replace_file(temporary, share.path)
    report(f"sync {share.path.parent}")
    sync_folder(share.path.parent)


def _clone(source: Path, target: Path) -> None:
    """A reflink. Raises: OSError where the file system has none."""
    try:
        import fcntl
    except ImportError:  # Windows
        raise OSError(errno.EOPNOTSUPP, "no reflinks here") from None
    with source.open("rb") as read, target.open("xb") as write:
        fcntl.ioctl(write.fileno(), _FICLONE, read.fileno())
        os.fsync(write.fileno())


def _copy_again(
    path: Path,
    entry: dict[str, Any],
    report: Callable[[str], None],
    on_bytes: Callable[[int], None] | None,
) -> None:
    temporary = path.with_name(entry["temporary"])
    report(f"copy {temporary}")
    with path.open("rb") as read, temporary.open("xb") as write:
        while block := read.read(_BLOCK_BYTES):
            write.write(block)
            if on_bytes is not None:
                on_bytes(len(block))
        write.flush()
        os.fsync(write.fileno())
    _restore_facts(temporary, entry)
    report(f"replace {path}")
    replace_file(temporary, path)
    sync_folder(path.parent)


def _restore_facts(path: Path, entry: dict[str, Any]) -> None:
    """Owner where we may, mode and times."""
    with contextlib.suppress(OSError, AttributeError):
        os.chown(path, entry["uid"], entry["gid"])
    path.chmod(entry["mode"])
    os.utime(path, ns=(entry["atime_ns"], entry["mtime_ns"]))


def _differ(share: Share, on_bytes: Callable[[int], None] | None) -> str:
    """Why two files are not the same, byte for byte; empty when they are."""
    with share.path.open("rb") as one, share.kept.open("rb") as other:
        while True:
            block = one.read(_BLOCK_BYTES)
            if block != other.read(_BLOCK_BYTES):
                return (
                    f"its content differs from {one_line(str(share.kept))}: one of them is damaged"
                )
            if on_bytes is not None:
                on_bytes(len(block))
            if not block:
                return ""


def _changed(share: Share, entry: dict[str, Any], in_use: dict[Path, str]) -> str:
    now, kept = share.path.lstat(), share.kept.lstat()
    for path in (share.path, share.kept):
        if path in in_use:
            return f"{one_line(in_use[path])} has {path.name} open: close it first"
    if (now.st_ino, now.st_mtime_ns, now.st_size) != tuple(
        entry[key] for key in ("inode", "mtime_ns", "size")
    ):
        return "it changed since the plan was made"
    if kept.st_size != share.size_bytes:
        return f"{one_line(str(share.kept))} changed since the plan was made"
    return ""


def _why(error: OSError | GemmahubError) -> str:
    if isinstance(error, OSError) and error.errno in _NO_REFLINK:
        return "the file system cannot share it in this way; hard links may work"
    if isinstance(error, OSError) and error.errno == errno.EMLINK:
        return "the file system allows no more links to that file"
    return getattr(error, "strerror", None) or one_line(str(error))
