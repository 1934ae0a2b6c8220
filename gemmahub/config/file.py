"""The settings file: where it is, and its tables, within limits."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from platformdirs import PlatformDirs

LARGEST: Final = 1_000_000
"""Bytes of a settings file that are read; one with all settings has a few hundred."""
_DEEPEST: Final = 64
# A key of many parts takes tomllib more than linear time. Possessive, so that this search does not.
_LONG_KEY: Final = re.compile(
    r"""(?<![\w-])(?:(?:"[^"\n]*+"|'[^'\n]*+'|[\w-]++)[ \t]*+\.[ \t]*+){65}"""
)
_LONG_NUMBER: Final = re.compile(r"[0-9_]{1000}")


def platform_folders() -> PlatformDirs:
    """The folders that this platform has for a program's files."""
    from platformdirs import PlatformDirs

    return PlatformDirs("gemmahub", appauthor=False)


def settings_path() -> Path:
    """The settings file of this user, which need not be there."""
    named = os.environ.get("GEMMAHUB_CONFIG")
    return Path(named or Path(platform_folders().user_config_dir) / "config.toml")


def read_tables(path: Path) -> dict[str, Any]:
    """What the file says, unchecked; nothing where there is none. Raises: UsageError."""
    return parsed(file_text(path), path)


def file_text(path: Path) -> str:
    """Its text; a file that is not there, or a device such as /dev/null, is empty.

    Raises: UsageError.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except ValueError as error:  # a NUL character in its name
        raise _unreadable(path, str(error)) from None
    if len(raw) > LARGEST:
        raise _unreadable(path, f"it is longer than {LARGEST // 1_000_000} MB")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, f"it is not UTF-8 text (at line {line})") from None


def parsed(text: str, path: Path) -> dict[str, Any]:
    """The tables in the text of the file. Raises: UsageError, which names the line."""
    if reason := _beyond_limits(text):
        raise _unreadable(path, reason)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the message of a TOML error names the line
        end = f"at line {len(text.splitlines())}"
        raise _unreadable(path, str(error).replace("at end of document", end)) from None


def _beyond_limits(text: str) -> str:
    """Why a text is not even parsed, with the line; "" if nothing in it is beyond the limits.

    Brackets in texts and comments count as well.
    """
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        opened = sum(map(line.count, "[{"))
        if depth + opened > _DEEPEST or _LONG_KEY.search(line):
            return f"lists and tables are nested too deeply (at line {number})"
        if _LONG_NUMBER.search(line):
            return f"a number has thousands of digits (at line {number})"
        depth = max(depth + opened - sum(map(line.count, "]}")), 0)
    return ""


def _unreadable(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"cannot read the settings file {path}: {one_line(reason)}",
        "correct it, or move it away; it was left unchanged",
    )
