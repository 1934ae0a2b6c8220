"""One file out of the archive that Kaggle packed it into: nothing else of it is written."""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from gemmahub.errors import IntegrityError
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BLOCK: Final = 1 << 20
# What zipfile raises for archives that are none (RuntimeError: one that is encrypted).
_DAMAGED: Final = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError,
    RuntimeError, OverflowError,
)  # fmt: skip
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpack(archive: Path, name: str, size: int, to: Path, on_bytes: Callable[[int], None]) -> None:
    """Write the one member of a zip archive to ``to``, which must be ``size`` bytes long.

    The member is taken by its content: whatever path it states, nothing is written but ``to``, and
    never more than ``size`` bytes. Raises: IntegrityError; OSError.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [each for each in opened.infolist() if not each.is_dir()]
            if len(members) != 1 or members[0].filename.rpartition("/")[2] != name:
                raise _bad(archive, f"it has {len(members):,} files, not one called {name}")
            (member,) = members
            if member.file_size != size:
                held, wanted = format_bytes(member.file_size), format_bytes(size)
                raise _bad(archive, f"{name} has {held} in it, not {wanted}")
            if member.compress_type not in _METHODS or member.flag_bits & 1:
                raise _bad(archive, "it is packed or encrypted in a way that is not read")
            with opened.open(member) as source, to.open("wb") as target:
                written = 0
                while block := source.read(min(_BLOCK, size - written + 1)):
                    written += len(block)
                    if written > size:
                        raise _bad(archive, f"{name} is longer than stated")
                    target.write(block)
                    on_bytes(len(block))
                if written != size:
                    raise _bad(archive, f"{name} is shorter than stated")
    except _DAMAGED as error:
        raise _bad(archive, one_line(str(error) or type(error).__name__, 120)) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # an offset before the file's beginning
            raise
        raise _bad(archive, "it points outside its folder") from error


def _bad(archive: Path, problem: str) -> IntegrityError:
    return IntegrityError(
        f"the archive {one_line(archive.name, 80)} that Kaggle sent is refused: "
        f"{one_line(problem, 160)}",
        "pull it again; if it persists, do not trust this server",
    )
