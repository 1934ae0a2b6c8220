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
        return Inventory((*artifacts, *_virtual(artifacts, root)), found.broken)

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


def _virtual(artifacts: Sequence[Artifact], root: Path) -> list[Artifact]:
    """The models once more by the names of LM Studio's virtual models: ``hub/models/OWNER/NAME``
    beside the models' folder has a ``model.yaml``, whose bases are repositories (lmstudio.ai,
    "model.yaml")."""
    found = []
    for path in sorted((root.parent / "hub" / "models").glob("*/*/model.yaml")):
        bases = _bases(path)
        name = f"{path.parent.parent.name}/{path.parent.name}"
        found += [
            replace(artifact, repository=name, reference=name)
            for artifact in artifacts
            if artifact.repository.casefold() in bases and artifact.repository != name
        ]
    return found


def _bases(path: Path) -> set[str]:
    """The repositories on which a virtual model rests; none for a file that is not understood."""
    import yaml

    try:
        if path.stat().st_size > _LARGEST_SETTINGS:
            return set()
        base = yaml.safe_load(path.read_bytes())["base"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError):
        return set()
    entries = base if isinstance(base, list) else [base]
    keys = (entry.get("key") if isinstance(entry, dict) else entry for entry in entries)
    return {key.casefold() for key in keys if isinstance(key, str)}


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
