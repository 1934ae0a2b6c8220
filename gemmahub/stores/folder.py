"""Folders of model files: GGUF files, split ones joined, and folders with safetensors."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import (
    Artifact,
    BrokenEntry,
    Inventory,
    Kept,
    Removal,
    RemovalStep,
)
from gemmahub.formats.folder import CONFIG
from gemmahub.stores.scan import Found, absence, broken_folder, models_among, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# What else belongs to a model folder: configs, tokenizer, chat template, model card.
_BELONGS: Final = frozenset(
    {".json", ".jinja", ".model", ".txt", ".md", ".py", ".safetensors", ".gitattributes"}
)


@dataclass(frozen=True, slots=True)
class FolderStore:
    """All model files below a folder, also where links to folders lead.

    ``formats`` are as for :func:`gemmahub.stores.scan.models_among`.
    """

    folder: Path
    name: str = "folder"
    tool: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The folder."""
        return self.folder

    def inventory(self) -> Inventory:
        """The models below the folder, by path."""
        problem = absence(self.folder)
        if problem is not None:
            reason = problem or "there is no such folder"
            return Inventory(broken=(BrokenEntry(self.folder, self.name, reason),))
        artifacts: list[Artifact] = []
        broken: list[BrokenEntry] = []
        for place, entries in walk(str(self.folder), broken_folder(self.name, broken), links=True):
            for found in models_among(place, entries, formats=self.formats):
                if found.problem:
                    broken.append(BrokenEntry(found.path, self.name, found.problem))
                else:
                    artifacts.append(artifact_of(found, self.name))
        artifacts.sort(key=lambda artifact: artifact.path)
        return Inventory(tuple(artifacts), tuple(broken))

    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        """The files themselves; a projector only when no other model here uses it."""
        return files_removal(self.folder, artifacts, self.inventory().artifacts)

    def discard(self, path: Path) -> str:
        """Remove a file. Nothing else can use it but by its own name."""
        path.unlink(missing_ok=True)
        return ""


def artifact_of(found: Found, store: str) -> Artifact:
    """A model that was found, as a store hands it out."""
    return Artifact(
        format=found.format,
        path=found.path,
        files=found.files,
        name=found.path.stem if found.files else found.path.name,
        store=store,
        projector=found.projector,
        last_used=found.last_used,
    )


def files_removal(
    root: Path, artifacts: Sequence[Artifact], all_here: Iterable[Artifact]
) -> Removal:
    """The removal of models whose files are named directly, without blobs behind them.

    Weights go first and the config last: what is killed in between stays visible as broken.
    """
    going = {artifact.path for artifact in artifacts}
    staying = [artifact for artifact in all_here if artifact.path not in going]
    files: dict[Path, None] = {}
    kept: list[Kept] = []
    folders: dict[Path, None] = {}
    for artifact in artifacts:
        members = artifact.files or (artifact.path,)
        if members == (artifact.path,) and artifact.path.is_dir():
            members = _folder_files(artifact.path, kept, staying)
        files |= dict.fromkeys(members)
        folders |= dict.fromkeys(_folders_up(members[0].parent if members else root, root))
        if artifact.projector is not None:
            users = [other for other in staying if other.projector == artifact.projector]
            if users:
                kept.append(Kept(artifact.projector, f"{users[0].name} uses this projector"))
            elif any(other.path == artifact.projector for other in staying):
                kept.append(Kept(artifact.projector, "other models may use this projector"))
            else:
                files[artifact.projector] = None
    kept += _link_targets(files)
    steps = [RemovalStep(path, "data") for path in files]
    steps += [RemovalStep(path, "folder") for path in sorted(folders, key=_depth, reverse=True)]
    return Removal(tuple(steps), tuple(dict.fromkeys(kept)))


def _folder_files(folder: Path, kept: list[Kept], staying: Sequence[Artifact]) -> tuple[Path, ...]:
    members: list[Path] = []
    others = {file for other in staying for file in (*other.files, other.projector)}
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False) or path in others:
                continue
            if path.suffix.lower() in _BELONGS or entry.name in _BELONGS:
                members.append(path)
            else:
                kept.append(Kept(path, "it is not a file of the model"))

    def rank(path: Path) -> tuple[bool, bool, Path]:
        return (path.name == CONFIG, path.suffix != ".safetensors", path)

    return tuple(sorted(members, key=rank))


def _folders_up(folder: Path, root: Path) -> list[Path]:
    """The folder and those above it, below ``root``."""
    found = []
    while folder != root and root in folder.parents:
        found.append(folder)
        folder = folder.parent
    return found


def _depth(path: Path) -> int:
    return len(path.parts)


def _link_targets(files: Iterable[Path]) -> list[Kept]:
    """Where a file is a link to elsewhere, only the link goes."""
    return [
        Kept(Path(os.path.realpath(path)), f"{path.name} is only a link to it")
        for path in files
        if path.is_symlink()
    ]
