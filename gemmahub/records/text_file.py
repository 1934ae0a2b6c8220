"""Writes a file for a person: whole or not at all, and over no other one unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError, UsageError
from gemmahub.records.whole_file import write_whole
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path


def check_new(path: Path, *, replace: bool) -> None:
    """Before work is done for it. Raises: UsageError for a file that is there and to be kept."""
    if not replace and path.exists():
        raise UsageError(
            f"the file {one_line(str(path), 400)} exists already", "choose another one"
        )


def write_text_file(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a text; a file that exists is kept unless it is to be replaced.

    Raises: UsageError when there is such a file; GemmahubError when it cannot be written.
    """
    check_new(path, replace=replace)
    try:
        if path.exists() and not path.is_file():  # a device such as /dev/stdout
            path.write_text(text, encoding="utf-8", errors="replace")
        else:
            write_whole(path, text.encode(errors="replace"), make_folder=False)
    except OSError as error:
        reason = f"cannot write {one_line(str(path), 400)}: {error.strerror}"
        raise GemmahubError(reason, "choose another file") from None
