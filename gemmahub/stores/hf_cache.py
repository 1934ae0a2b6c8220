"""The Hugging Face cache: models of all its repositories, one entry for each snapshot.

The layout is read directly, without ``huggingface_hub``, whose import alone would take longer than
the listing. Source: huggingface_hub 2.4 ``constants.py`` (where it lies), ``file_download.py``
(``models--owner--name/{blobs,refs,snapshots}``; snapshots hold links to blobs, or the files
themselves where links are not possible; downloads end in ``.incomplete``), ``_cache_manager.py``
(order of removal) and ``utils/_shared_blobs.py`` (blobs of several repositories: a blob may be a
link to ``<cache>/blobs/xx/<hash>``, whose ``.refs`` lists those links). A blob's name is the
sha256 of its content for files in LFS, 64 hexadecimal digits; the 40 of others are git's sha1.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Artifact, BrokenEntry, Inventory, Removal, Unfinished
from gemmahub.formats.kinds import is_projector
from gemmahub.stores.folder import artifact_of
from gemmahub.stores.hf_layout import CacheFile, sha256_in_name
from gemmahub.stores.scan import (
    Found,
    broken_folder,
    models_among,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_REPOSITORY: Final = re.compile(r"models--(?P<owner>.+?)(?:--(?P<name>.+))?")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class HuggingFaceStore:
    """The models in the Hugging Face cache. ``folder`` None means: where the hub client looks.

    gemmahub itself pulls into it, so it is no other tool's.
    """

    folder: Path | None = None
    name: str = "huggingface"
    tool: str = ""

    @property
    def root(self) -> Path:
        """The cache folder."""
        return self.folder or cache_folder()

    def inventory(self) -> Inventory:
        """The models there; none where there is no cache. A repository without weights is none."""
        artifacts: list[Artifact] = []
        broken: list[BrokenEntry] = []
        try:
            repositories = self._repositories()
        except OSError as error:
            return Inventory(broken=(BrokenEntry(self.root, self.name, str(error.strerror)),))
        for layout in repositories:
            try:
                self._repository(layout, artifacts, broken)
            except OSError as error:  # it changed, or was closed, while it was looked at
                reason = error.strerror or "unreadable"
                broken.append(BrokenEntry(Path(layout.folder), self.name, reason))
        return Inventory(tuple(artifacts), tuple(broken))

    def unfinished(self) -> list[Unfinished]:
        """What interrupted downloads left, for each repository; what cannot be read is left out."""
        from gemmahub.stores.hf_removal import unfinished_in

        found = []
        with suppress(OSError):
            for layout in self._repositories():
                with suppress(OSError):
                    found.append(unfinished_in(Path(layout.folder), layout.repository))
        return [left for left in found if left is not None]

    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        """Links, refs and snapshots, then the blobs that no other snapshot uses."""
        from gemmahub.stores.hf_removal import removal_from

        return removal_from(self.root, artifacts, self.inventory().artifacts)

    def discard(self, path: Path) -> str:
        """Remove a blob, unless a snapshot uses it by now."""
        from gemmahub.stores.hf_removal import discard_blob

        return discard_blob(self.root, path)

    def _repositories(self) -> list[CacheFile]:
        """The folders of repositories; none where there is no cache. Raises: OSError."""
        try:
            with os.scandir(self.root) as entries:
                found = sorted(
                    (e.path, match)
                    for e in entries
                    if (match := _REPOSITORY.fullmatch(e.name)) and e.is_dir()
                )
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [CacheFile(path, "/".join(filter(None, match.groups()))) for path, match in found]

    def _repository(
        self, layout: CacheFile, artifacts: list[Artifact], broken: list[BrokenEntry]
    ) -> None:
        report = broken_folder(self.name, broken)
        files: set[str] = set()
        for snapshot, revision in layout.snapshots(report):
            above: list[Path] = []
            for place, entries in walk(snapshot, report):
                top = place == snapshot
                found = models_among(place, entries, folders=top, above=above)
                if top:
                    above = [Path(e.path) for e in entries if is_projector(e.name)]
                for model in found:
                    problem = model.problem or _escapes(model, layout)
                    if problem:
                        broken.append(BrokenEntry(model.path, self.name, problem))
                        continue
                    artifact = _artifact(model, layout, snapshot, revision, self.name)
                    # Two revisions of one file are two models: the later names its revision.
                    if artifact.reference in files:
                        named = f"{artifact.reference}@{revision[:12]}"
                        artifact = replace(artifact, reference=named)
                    files.add(artifact.reference)
                    artifacts.append(artifact)


def _artifact(
    model: Found, layout: CacheFile, snapshot: str, revision: str, store: str
) -> Artifact:
    inside = os.path.relpath(model.path, snapshot).replace(os.sep, "/")
    reference = f"hf://{layout.repository}" + (f"/{inside}" if model.files else "")
    # Only what the grammar of references takes, so that the reference finds it again.
    usable = inside.isprintable() and not set(inside) & set(":@")
    usable = usable and _REFERENCE.fullmatch(layout.repository) is not None
    sha256 = sha256_in_name(layout.blob_of(model.files[0])) if len(model.files) == 1 else None
    artifact = artifact_of(model, store)
    return replace(
        artifact,
        name=artifact.name if model.files else layout.repository.rpartition("/")[2],
        repository=layout.repository,
        revision=revision,
        sha256=sha256,
        reference=reference if usable else "",
    )


def _escapes(model: Found, layout: CacheFile) -> str:
    """Why a model is not taken: a file of it is a link to somewhere out of its repository."""
    members = [*model.files, model.projector] if model.files else sorted(model.path.iterdir())
    for path in members:
        if path is not None and (target := layout.outside(path)) is not None:
            return f"{path.name} is a link to {target}, which is outside its repository"
    return ""


def cache_folder() -> Path:
    """Where the hub client keeps its cache (``huggingface_hub.constants.HF_HUB_CACHE``)."""
    default = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = _expanded(os.environ.get("HF_HOME") or str(Path(default, "huggingface")))
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(_expanded(named or str(Path(home, "hub"))))


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111 - as the hub client does
