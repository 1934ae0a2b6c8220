"""LM Studio's models folder.

Source: lmstudio-ai/lms ``src/modelsFolder.ts`` (``settings.json`` in LM Studio's home,
``downloadsFolder``, else ``models`` in that home) and ``findLMStudioHome`` of lms-common-server
(``~/.lmstudio-home-pointer``, else ``~/.cache/lm-studio`` where it exists, else ``~/.lmstudio``);
lmstudio.ai/docs/advanced/sideload for the layout ``publisher/model/file.gguf``. MLX models lie the
same way, as a folder ``publisher/model``.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Artifact, Inventory, Removal
from gemmahub.precision.labels import label_in_name
from gemmahub.stores.folder import FolderStore, files_removal
from gemmahub.stores.scan import absence
from gemmahub_lmstudio.virtual_models import virtual_models

if TYPE_CHECKING:
    from collections.abc import Sequence

_LARGEST_SETTINGS: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class LMStudioStore:
    """What LM Studio has downloaded or imported. ``folder`` None means: where LM Studio says."""

    folder: Path | None = None
    name: str = "lmstudio"
    tool: str = "LM Studio"

    @property
    def root(self) -> Path:
        """The models folder."""
        return self.folder or models_folder()

    def inventory(self) -> Inventory:
        """The models there; none where LM Studio is not."""
        root = self.root
        if absence(root) == "":
            return Inventory()
        found = FolderStore(root, self.name).inventory()
        named = [_named(artifact, root) for artifact in found.artifacts]
        places = Counter(artifact.reference for artifact in named)
        artifacts = [
            artifact if places[artifact.reference] == 1 else replace(artifact, reference="")
            for artifact in named
        ]
        return Inventory((*artifacts, *virtual_models(artifacts, self._homes())), found.broken)

    def _homes(self) -> tuple[Path, ...]:
        """Where virtual models are described: the models' folder may be on another disk."""
        beside = self.root.parent
        home = beside if self.folder else lm_studio_home(Path.home())
        return tuple(dict.fromkeys((beside, home)))

    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        """The files themselves, and their folders when nothing is left in them."""
        return files_removal(self.root, artifacts, self.inventory().artifacts)

    def discard(self, path: Path) -> str:
        """Remove a file."""
        path.unlink(missing_ok=True)
        return ""


def _named(artifact: Artifact, root: Path) -> Artifact:
    """With the repository that the folders name, and LM Studio's name for it."""
    parts = artifact.path.relative_to(root).parts
    if len(parts) < (3 if artifact.files else 2):
        return artifact
    repository = f"{parts[0]}/{parts[1]}"
    label = label_in_name(artifact.name)
    reference = f"{repository}@{label.lower()}" if label else ""
    return replace(artifact, repository=repository, reference=reference)


def models_folder(home: Path | None = None) -> Path:
    """Where LM Studio keeps its models; the folder need not exist."""
    place = lm_studio_home(home or Path.home())
    settings = place / "settings.json"
    try:
        if settings.stat().st_size <= _LARGEST_SETTINGS:
            folder = json.loads(settings.read_text(encoding="utf-8-sig")).get("downloadsFolder")
            if isinstance(folder, str) and folder and "\0" not in folder:
                return Path(folder)
    except (OSError, ValueError, AttributeError, RecursionError):
        pass  # none, or not what we know: LM Studio falls back in the same way
    return place / "models"


def lm_studio_home(home: Path) -> Path:
    """LM Studio's own folder of a user."""
    try:
        pointed = (home / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip()
        if pointed and Path(pointed).is_dir():
            return Path(pointed)
    except (OSError, ValueError):
        pass
    old = home / ".cache" / "lm-studio"
    return old if old.is_dir() else home / ".lmstudio"
