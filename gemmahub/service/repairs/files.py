"""Repairs of folders and modes, and of what a program that was killed left beside its files."""

from __future__ import annotations

import os
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from gemmahub.config.file import settings_path
from gemmahub.engines.contract import CheckResult
from gemmahub.service.repairs.repair import Repair
from gemmahub.service.serving.known import left_by_servers
from gemmahub.service.settings import SETTINGS_FILE, settings_checks
from gemmahub.text import one_line, plural

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.service.installation import Installation

_PART: Final = re.compile(r"\..+\.[0-9a-f]{8}\.part")
"""How :func:`gemmahub.records.whole_file.write_whole` names what it is writing."""
_OLD_SECONDS: Final = 3600
_ONLY_OWNER: Final = 0o600


def file_repairs(here: Installation) -> list[Repair]:
    """What is wrong with files and folders, and can be put right."""
    return [*_mode(here), *_folders(here), *_parts(here), *_servers(here)]


def _mode(here: Installation) -> list[Repair]:
    """The settings file with a secret in it that others can read."""
    path = settings_path()
    found = [check for check in settings_checks(here) if check.name == SETTINGS_FILE]
    text = f"make {one_line(str(path))} readable only by you (mode 600)"
    return [Repair(check, text, partial(path.chmod, _ONLY_OWNER)) for check in found]


def _folders(here: Installation) -> list[Repair]:
    """Folders of the settings that are not there; what they lie in has to be there: it may be a
    disk that is not mounted."""
    found = []
    for folder in here.config.folders:
        shown = one_line(str(folder))
        if folder.parent.is_dir() and not os.path.lexists(folder):
            what = f"{shown} of stores.folders does not exist"
            check = CheckResult("model folder", "warning", what, f"mkdir {shown}")
            found.append(Repair(check, f"create the folder {shown}", partial(_make, folder)))
    return found


def _make(folder: Path) -> None:
    folder.mkdir(exist_ok=True)


def _parts(here: Installation) -> list[Repair]:
    """Parts of files that nobody writes any more. Raises: nothing."""
    left = [path for folder in _own_folders(here) for path in _old_parts(folder)]
    if not left:
        return []
    folders = ", ".join(dict.fromkeys(one_line(str(path.parent)) for path in left))
    what = f"{plural(len(left), 'part')} of files in {folders}, left by programs that were killed"
    check = CheckResult("unfinished files", "warning", what)
    return [Repair(check, f"remove {plural(len(left), 'part')} of files", partial(_remove, left))]


def _own_folders(here: Installation) -> tuple[Path, ...]:
    return (here.config.cache, here.config.data, here.config.data / "conversations")


def _old_parts(folder: Path) -> list[Path]:
    """What was begun there an hour ago or earlier; writing one takes less than a second."""
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if _PART.fullmatch(entry.name)
                and entry.is_file(follow_symlinks=False)
                and time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_SECONDS
            ]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _servers(here: Installation) -> list[Repair]:
    """Notes of servers that have ended: ``ps`` would ask them."""
    left = left_by_servers(here.config.data)
    if not left:
        return []
    what = f"{plural(len(left), 'note')} of servers that have ended"
    check = CheckResult("servers", "warning", what)
    return [Repair(check, f"remove {what}", partial(_remove, left))]


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
