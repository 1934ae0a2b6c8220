"""Names that the shell completes, remembered in the cache folder.

A shell waits for each Tab, and reading all stores takes longer than a person likes to wait. So the
names are read once and kept for an hour; what changes the models here forgets them at once.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gemmahub.config import cache_folder
from gemmahub.config.file import settings_path
from gemmahub.records.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SECONDS: Final = 3600.0
_FILE: Final = "completion.json"
_LARGEST: Final = 4_000_000

Names = list[tuple[str, str]]
"""Names, each with what it is."""


def kept_names(version: str) -> dict[str, Names] | None:
    """What that version of gemmahub remembered, by kind; None where nothing of it holds."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        path = cache_folder() / _FILE
        if path.stat().st_size > _LARGEST:
            return None
        found = json.loads(path.read_bytes())
        if 0 <= time.time() - found["at"] < SECONDS and found["for"] == _holds_for(version):
            return {
                kind: [(str(name), str(what)) for name, what in rows]
                for kind, rows in found["names"].items()
            }
    return None


def keep_names(version: str, names: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Remember names by kind. Never fails: completion is no reason to."""
    text = json.dumps({"at": time.time(), "for": _holds_for(version), "names": names})
    with suppress(OSError):
        write_whole(cache_folder() / _FILE, text, mode=0o600)


def forget_names(cache: Path) -> None:
    """Read the names again next time. Never fails."""
    with suppress(OSError):
        (cache / _FILE).unlink(missing_ok=True)


def _holds_for(version: str) -> list[Any]:
    """What the names depend on, but for the stores: version, settings, where things are."""
    settings = settings_path()
    try:
        changed = settings.stat().st_mtime_ns
    except OSError:
        changed = 0
    variables = sorted([name, value] for name, value in os.environ.items() if _matters(name))
    return [version, str(settings), changed, variables]


def _matters(name: str) -> bool:
    return name.startswith(("GEMMAHUB_", "HF_H", "HUGGINGFACE_", "OLLAMA_"))
