"""A source with a scheme of its own: a folder somewhere, such as a share in the network."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub import hookimpl
from gemmahub.engines.contract import Setting
from gemmahub.engines.plugin_settings import settings_of
from gemmahub.engines.sources import (
    Landing,
    LandingFile,
    Pulled,
    PulledFile,
    PullProgress,
    RemoteArtifact,
    RemoteFile,
)  # fmt: skip
from gemmahub.errors import Cancelled, IntegrityError, NetworkError, UsageError
from gemmahub.formats.source import LocalFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.sources import OnPull, Source

GEMMAHUB_CONTRACT = 2
SETTINGS = (Setting("folder", "the folder with models, below it one folder each", env="SHELF"),)
PIECE = 1 << 20


@hookimpl
def gemmahub_settings() -> tuple[Setting, ...]:
    return SETTINGS


@hookimpl
def gemmahub_sources() -> list[Source]:
    return [ShelfSource()]


class ShelfSource:
    """``shelf://NAME`` is the file ``NAME.gguf`` of the folder."""

    name = "shelf"
    title = "the shelf"
    schemes = ("shelf",)

    def find(
        self, reference: str, *, revision: str | None = None, projector: bool = True
    ) -> RemoteArtifact | None:
        if revision is not None:
            raise UsageError("the shelf has no revisions", "leave out --revision")
        folder = settings_of("shelf", SETTINGS)["folder"]
        if not folder or not Path(folder).is_dir():
            raise NetworkError(f"the shelf {folder or ''} is missing", "set plugins.shelf.folder")
        name = reference.removeprefix("shelf://")
        path = Path(folder, f"{name}.gguf")
        if not re.fullmatch(r"[\w-]{1,80}", name) or not path.is_file():
            return None
        sha256 = path.with_suffix(".sha256").read_text(encoding="ascii").split()[0]
        file = RemoteFile(path.name, path.stat().st_size, sha256=sha256)
        return RemoteArtifact(
            reference, self.name, name, "gguf", (file,), revision=sha256, record=path
        )

    def open(self, artifact: RemoteArtifact, file: RemoteFile) -> LocalFile:
        return LocalFile(artifact.record)

    def landing(self, artifact: RemoteArtifact, to: Path | None = None) -> Landing:
        if to is None:
            raise UsageError("the shelf has no place of its own here", "say where: --to FOLDER")
        (file,) = artifact.files
        part = to / f"{file.name}.part"
        done = file.size if (to / file.name).exists() else 0
        here = done or (part.stat().st_size if part.exists() else 0)
        files = (LandingFile(to / file.name, here),)
        return Landing(f"copied to {to}", to, max(file.size - here, 0), files)

    def pull(
        self,
        artifact: RemoteArtifact,
        to: Path | None = None,
        on_progress: OnPull | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Pulled:
        landing = self.landing(artifact, to)
        (file,), target = artifact.files, landing.files[0].path
        part = target.with_name(f"{file.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        before = landing.files[0].here_bytes
        if not target.exists():
            with artifact.record.open("rb") as there, part.open("ab") as here:
                there.seek(before)
                while piece := there.read(PIECE):
                    if cancelled is not None and cancelled():
                        raise Cancelled("the pull was cancelled", "the same command goes on")
                    here.write(piece)
                    if on_progress is not None:
                        on_progress(PullProgress(file.name, here.tell(), file.size))
            with part.open("rb") as copied:
                if hashlib.file_digest(copied, "sha256").hexdigest() != file.sha256:
                    part.unlink()
                    raise IntegrityError(f"{file.name} is damaged", "pull it again")
            part.replace(target)
        moved = file.size - before
        return Pulled(str(target), target, moved, (PulledFile(file.name, target, moved),))
