"""Folders of model files: each ``*.gguf`` is a model, parts of a split file are one."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gemmahub.engines.contract import Artifact, BrokenEntry, Inventory

_PART: Final = re.compile(
    r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.IGNORECASE
)
_PROJECTOR: Final = re.compile(r"mmproj", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FolderStore:
    """All model files below a folder. Links to folders are not followed: no circles."""

    folder: Path
    name: str = "folder"

    def inventory(self) -> Inventory:
        """The models below the folder, by path."""
        artifacts: list[Artifact] = []
        broken: list[BrokenEntry] = []

        def report(error: OSError) -> None:
            broken.append(
                BrokenEntry(Path(error.filename), self.name, error.strerror or "unreadable")
            )

        if not self.folder.is_dir():
            reason = "it is not a folder" if self.folder.exists() else "there is no such folder"
            return Inventory(broken=(BrokenEntry(self.folder, self.name, reason),))
        for place, _, names in sorted(os.walk(self.folder, onerror=report)):
            files = sorted(name for name in names if name.lower().endswith(".gguf"))
            projectors = [Path(place, name) for name in files if _PROJECTOR.search(name)]
            projector = projectors[0] if len(projectors) == 1 else None
            models = [name for name in files if not _PROJECTOR.search(name)]
            for parts, problem in _models(Path(place), models):
                if problem:
                    broken.append(BrokenEntry(parts[0], self.name, problem))
                else:
                    artifacts.append(self._artifact(parts, projector))
        return Inventory(tuple(artifacts), tuple(broken))

    def _artifact(self, parts: list[Path], projector: Path | None) -> Artifact:
        return Artifact(
            format="gguf",
            path=parts[0],
            files=tuple(parts),
            name=parts[0].stem,
            store=self.name,
            projector=projector,
        )


def _models(folder: Path, names: list[str]) -> list[tuple[list[Path], str]]:
    """Files joined to models; the text says what is wrong with a model, empty when nothing is."""
    models: list[tuple[list[Path], str]] = []
    splits: dict[tuple[str, int], dict[int, Path]] = defaultdict(dict)
    for name in names:
        if match := _PART.match(name):
            key = match["stem"], int(match["count"])
            splits[key][int(match["number"])] = folder / name
        else:
            models.append(([folder / name], ""))
    for (_, count), parts in splits.items():
        missing = [n for n in range(1, count + 1) if n not in parts]
        problem = f"part {missing[0]} of {count} is missing" if missing else ""
        models.append(([parts[n] for n in sorted(parts)], problem))
    return models
