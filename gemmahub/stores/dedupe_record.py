"""What a record of sharing holds: for each copy all that is needed to make it again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct, to_builtins

from gemmahub.errors import DoesNotFit, GemmahubError
from gemmahub.records.parsing import Unfit, as_kind
from gemmahub.stores.journal import write_record
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.stores.dedupe import DedupePlan, Share


_Path = Annotated[str, Meta(min_length=1, pattern=r"^[^\0]+\Z")]
_Id = Annotated[int, Meta(ge=0, lt=2**32)]
_Time = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class _LinkEntry(Struct):
    """What is needed to make a copy again; see :func:`write_dedupe_record`."""

    path: _Path
    kept: _Path
    temporary: Annotated[str, Meta(pattern=r"^\.gemmahub-[^\0]+\Z")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    inode: Annotated[int, Meta(ge=0)]
    mode: Annotated[int, Meta(ge=0, le=0o7777)]
    uid: _Id
    gid: _Id
    atime_ns: _Time
    mtime_ns: _Time


def write_dedupe_record(record: Path, plan: DedupePlan) -> list[dict[str, Any]]:
    """Write what undoes a plan, before anything is changed. Returns its entries, one a copy; the
    names that a run makes beside the copies all begin with their record's.

    Raises: GemmahubError when it cannot be written; OSError when a copy cannot be looked at.
    """
    names = (f".gemmahub-{record.stem}-{number}" for number in range(len(plan.shares)))
    entries = [_entry(share, name) for share, name in zip(plan.shares, names, strict=True)]
    try:
        write_record(record, {"method": plan.method, "shares": entries})
    except OSError as error:
        raise GemmahubError(
            "nothing was changed: the undo record cannot be written to "
            f"{one_line(str(record.parent))} ({error.strerror})",
            "free some space there, or set GEMMAHUB_DATA to another folder",
        ) from error
    return entries


def _entry(share: Share, temporary: str) -> dict[str, Any]:
    """A copy as it is now. Raises: OSError."""
    status = share.path.lstat()
    return {
        "path": str(share.path),
        "kept": str(share.kept),
        "temporary": temporary,
        "sha256": share.sha256,
        "size": status.st_size,
        "inode": status.st_ino,
        "mode": status.st_mode & 0o7777,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "atime_ns": status.st_atime_ns,
        "mtime_ns": status.st_mtime_ns,
    }


def valid_entry(entry: object) -> dict[str, Any] | None:
    """An entry of a record that has all that is needed; a name with a path in it is refused."""
    try:
        found: dict[str, Any] = to_builtins(as_kind(entry, _LinkEntry))
    except Unfit:
        return None
    name = found["temporary"]
    return found if Path(name).name == name else None


def still_shared(entry: dict[str, Any]) -> bool:
    """Whether the path is still a name of a file with other names, of the length it had."""
    try:
        status = Path(entry["path"]).lstat()
    except OSError:
        return False
    same_length = status.st_size == entry["size"]
    return same_length and status.st_nlink > 1 and status.st_ino != entry["inode"]


def check_space(entries: Iterable[dict[str, Any]]) -> None:
    """Raises: DoesNotFit when the copies do not fit on their disks."""
    needed: dict[int, tuple[int, Path]] = {}
    for entry in entries:
        folder = Path(entry["path"]).parent
        device = folder.stat().st_dev
        size, _ = needed.get(device, (0, folder))
        needed[device] = size + entry["size"], folder
    for size, folder in needed.values():
        free = shutil.disk_usage(folder).free
        if size > free:
            raise DoesNotFit(
                f"the copies need {format_bytes(size)} on the disk of "
                f"{one_line(str(folder))}, but only {format_bytes(free)} is free",
                f"free {format_bytes(size - free)} there first",
            )
