"""Text from a hub that becomes a path: checked here, each time before it does, and nowhere else.

What a hub, a mirror or a proxy sends is a stranger's text. In the cache it may be the name of a
repository, a commit, a hash, a file or a branch; each has one form, and what has another form is
refused. No header of an answer is ever used as a path.
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Final, Literal

from gemmahub.errors import IntegrityError
from gemmahub.text import one_line

Kind = Literal["repository", "commit", "hash", "file", "branch"]

# huggingface_hub 2.4 ``utils/_validators.py``, ``validate_repo_id``: at most 96 characters, letters
# and digits at both ends, neither ``--`` (the cache separates by it) nor ``..``.
_WORD: Final = r"\w(?:[\w.-]{0,94}\w)?"
_REPOSITORY: Final = re.compile(rf"(?!.*(?:--|\.\.)){_WORD}/{_WORD}", re.ASCII)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
# The hash of git, or a sha256. Some mirrors have other etags, which nobody can verify.
_HASH: Final = re.compile(r"[0-9a-f]{40,64}")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_NOT_ON_WINDOWS: Final = re.compile(r'[<>:"|?*]|[. ]$')
_LONGEST_PART: Final = 240  # bytes; most file systems take 255, and downloads get an ending
_LONGEST_PATH: Final = 1_000  # bytes; PATH_MAX is 4,096 on Linux, 1,024 on macOS
_FORMS: Final = {
    "repository": (_REPOSITORY, "it is not owner/name in letters, digits, '-', '_' and '.'"),
    "commit": (_COMMIT, "it is not 40 hexadecimal digits"),
    "hash": (_HASH, "it is not 40 to 64 hexadecimal digits"),
}


def path_parts(kind: Kind, text: str) -> tuple[str, ...]:
    """The folders and the name that ``text`` becomes below a folder of the cache.

    ``owner/name`` becomes ``models--owner--name``, as in huggingface_hub's cache. Raises:
    IntegrityError for a text that does not have the form of its kind.
    """
    if problem := problem_of(kind, text):
        raise IntegrityError(
            f"the hub names a {kind} {one_line(repr(text), 120)}: {problem}",
            "check HF_ENDPOINT and the proxy, or use another repository",
        )
    if kind == "repository":
        return ("--".join(("models", *text.split("/"))),)
    return tuple(text.split("/"))


def problem_of(kind: Kind, text: str) -> str:
    """Why ``text`` may not become a path; "" where it may."""
    if kind in _FORMS:
        form, problem = _FORMS[kind]
        return "" if form.fullmatch(text) else problem
    parts = text.replace("\\", "/").split("/")
    if text.startswith(("/", "\\")) or any(_DRIVE.match(part) for part in parts):
        return "it is absolute"
    if any(part in ("", ".", "..") for part in parts):
        return "it leads out of its folder" if ".." in parts else "a part of it is empty"
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        return "it has control characters"
    return ""


def is_storable(path: str) -> bool:
    """Whether a file system takes a (harmless) path as it is: not too long, no other meaning."""
    parts = path.split("/")
    if "\\" in path or len(path.encode()) > _LONGEST_PATH:
        return False
    if os.name == "nt" and any(_DEVICE.fullmatch(p) or _NOT_ON_WINDOWS.search(p) for p in parts):
        return False
    return all(len(part.encode()) <= _LONGEST_PART for part in parts)
