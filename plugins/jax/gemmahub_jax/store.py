"""Orbax checkpoints in the folders of the settings (``GEMMAHUB_FOLDERS``), found by their names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Artifact, BrokenEntry, Inventory
from gemmahub_jax.checkpoint import METADATA, UNFINISHED
from gemmahub_jax.ocdbt import MANIFEST_NAME
from gemmahub_jax.reader import FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MARKS: Final = frozenset({METADATA, MANIFEST_NAME})
_MOST_FOLDERS: Final = 20_000
_MOST_FILES: Final = 1024
_ITEM: Final = "default"


@dataclass(frozen=True, slots=True)
class OrbaxStore:
    """The checkpoints below some folders, by default those of the settings. It only lists."""

    folders: Sequence[Path] | None = None
    name: str = FORMAT

    def inventory(self) -> Inventory:
        """Names are looked at, and no file is opened."""
        artifacts: list[Artifact] = []
        broken: list[BrokenEntry] = []
        for place in self._places():
            for folder, unfinished in _checkpoints(place):
                if unfinished:
                    reason = "the checkpoint is incomplete: writing it was interrupted"
                    broken.append(BrokenEntry(folder, self.name, reason))
                else:
                    artifacts.append(self._artifact(folder))
        return Inventory(tuple(artifacts), tuple(broken))

    def _artifact(self, folder: Path) -> Artifact:
        named = folder.parent if folder.name == _ITEM else folder
        return Artifact(FORMAT, folder, tuple(files_of(folder)), name=named.name, store=self.name)

    def _places(self) -> Sequence[Path]:
        if self.folders is not None:
            return self.folders
        from gemmahub.config import load_config

        return load_config().folders


def files_of(folder: Path) -> list[Path]:
    """The files of a checkpoint, by name."""
    found = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return sorted(islice(found, _MOST_FILES))


def _checkpoints(place: Path) -> Iterator[tuple[Path, bool]]:
    """The checkpoints below a folder, and whether one is still being written."""
    for folder, folders, files in islice(os.walk(place), _MOST_FOLDERS):
        unfinished = UNFINISHED in os.path.basename(folder)  # noqa: PTH119 - of thousands
        if unfinished or not _MARKS.isdisjoint(files):
            folders.clear()
            yield Path(folder), unfinished
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
