"""Names of files that Kaggle tells and that become paths: checked here, and nowhere else."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Final

_DRIVE: Final = re.compile(r"[A-Za-z]:")
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_NOT_ON_WINDOWS: Final = re.compile(r'[<>:"|?*]|[. ]$')
_LONGEST_PART: Final = 230  # bytes; most file systems take 255, and endings follow
_LONGEST_PATH: Final = 1_000  # bytes; PATH_MAX is 4,096 on Linux, 1,024 on macOS
# Ours and kagglehub's own: what ends so beside a file is not the file.
_ENDINGS: Final = (".complete", ".part")


def problem_of(name: str) -> str:
    """Why a name may not become a path below a folder; "" where it may."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or any(_DRIVE.match(part) for part in parts):
        return "it is absolute"
    if ".." in parts:
        return "it leads out of its folder"
    if any(part in ("", ".") for part in parts):
        return "a part of it is empty"
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in name):
        return "it has control characters"
    if "\\" in name:
        return "it has backslashes"
    if parts[-1].endswith(_ENDINGS):
        return f"it ends in {parts[-1][parts[-1].rfind('.') :]}, as notes on downloads do"
    if any(len(part.encode()) > _LONGEST_PART for part in parts):
        return "it is too long"
    if len(name.encode()) > _LONGEST_PATH:
        return "it is too long"
    if os.name == "nt" and any(_DEVICE.fullmatch(p) or _NOT_ON_WINDOWS.search(p) for p in parts):
        return "Windows reserves that name"
    return ""


def clash_of(names: list[str]) -> str:
    """Two names that are one file on some systems, or a file that is also a folder; "" if none."""
    seen: set[str] = set()
    for name in names:
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            return name
        seen.add(folded)
    folders = {
        "/".join(name.split("/")[:n]) for name in seen for n in range(1, name.count("/") + 1)
    }
    return next((name for name in names if name.casefold() in folders), "")
