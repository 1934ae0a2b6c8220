"""The texts that models are scored with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from gemmahub.errors import NotFound, UsageError
from gemmahub.text import one_line

KINDS: Final = ("prose", "code", "dialogue", "non-latin")
"""The texts of the package, each with its source in ``measurements/texts/SOURCES.md``."""

EVERY: Final = "all"
_LARGEST: Final = 256_000_000


@dataclass(frozen=True, slots=True)
class ScoredSource:
    """A text, under the name that stands with its figures."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Of its bytes in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def find_texts(names: tuple[str, ...]) -> list[ScoredSource]:
    """The texts with these names, or in these files. Raises: NotFound, UsageError."""
    wanted: list[str] = []
    for name in names:
        wanted += KINDS if name == EVERY else [name]
    return [_find(name) for name in dict.fromkeys(wanted)]


def _find(name: str) -> ScoredSource:
    if name in KINDS:
        found = files("gemmahub.measurements") / "texts" / f"{name}.txt"
        return ScoredSource(name, found.read_text("utf-8"))
    path = Path(name)
    shown = one_line(name, 200)
    try:
        if path.is_file() and path.stat().st_size > _LARGEST:
            raise UsageError(f"{shown} is too large to be scored", "use a part of it")
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        known = ", ".join(KINDS)
        raise NotFound(
            f"the text {shown} cannot be read: {getattr(error, 'strerror', '') or error}",
            f"use a file, or one of {known}",
        ) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{shown} is not UTF-8 text", "convert it, or use another one") from None
    if not text.strip():
        raise UsageError(f"{shown} is empty", "use a text of at least two windows")
    return ScoredSource(one_line(path.name, 200), text)
