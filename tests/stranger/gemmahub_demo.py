"""A stranger's plugin: a folder as a source with a scheme of its own, and a store of what came."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from gemmahub import hookimpl
from gemmahub.engines.contract import Artifact, Inventory
from gemmahub.engines.sources import (
    FoundFile,
    FoundRepository,
    Landing,
    OnPull,
    Pulled,
    PullProgress,
    RemoteArtifact,
    RemoteFile,
)
from gemmahub.formats.source import LocalFile

SCHEME = "demo://"


def folder(name: str) -> Path:
    """``there`` is what the source has, ``here`` what was pulled."""
    return Path(os.environ["DEMO_FOLDER"], name)


class DemoSource:
    """``demo://NAME/TAG`` is the file ``NAME.gguf``; there is one tag, ``first``."""

    name = "demo"
    title = "the demo folder"
    schemes = ("demo",)

    def bare(self, name: str) -> str | None:
        """A tag that was left out is the first."""
        return f"{SCHEME}{name}" if "/" in name else f"{SCHEME}{name}/first"

    def find(self, reference: str) -> RemoteArtifact | None:
        """A file of the folder."""
        name = reference.removeprefix(SCHEME).partition("/")[0]
        path = folder("there") / f"{name}.gguf"
        if not path.exists():
            return None
        file = RemoteFile(path.name, path.stat().st_size)
        return RemoteArtifact(reference, self.name, name, "gguf", (file,), revision="1" * 40)

    def search(self, text: str, limit: int) -> list[FoundRepository]:
        """Files with the text in their names."""
        paths = sorted(folder("there").glob("*.gguf"))
        files = tuple(
            FoundFile(
                f"{SCHEME}{path.stem}/first", path.name, "gguf", None, "by name",
                path.stat().st_size, qat=False,
            )
            for path in paths[:limit]
            if text in path.name
        )  # fmt: skip
        if not files:
            return []
        return [FoundRepository("demo/models", files=files)]

    def open(self, artifact: RemoteArtifact, file: RemoteFile) -> LocalFile:
        """The file, at any offset."""
        return LocalFile(folder("there") / file.name)

    def landing(self, artifact: RemoteArtifact, to: Path | None = None) -> Landing:
        """Its own folder of models."""
        target = to or folder("here")
        return Landing(f"copied to {target}", target, artifact.download_bytes)

    def pull(
        self, artifact: RemoteArtifact, to: Path | None = None, on_progress: OnPull | None = None
    ) -> Pulled:
        """Copies it."""
        target = to or folder("here")
        target.mkdir(parents=True, exist_ok=True)
        (file,) = artifact.files
        path = shutil.copy(folder("there") / file.name, target / file.name)
        if on_progress is not None:
            on_progress(PullProgress(file.name, file.size, file.size))
        return Pulled(artifact.reference, Path(path), file.size)


class DemoStore:
    """What was pulled, under the names that the source gives it."""

    name = "demo"
    tool = ""

    def inventory(self) -> Inventory:
        """Each file by its reference."""
        return Inventory(
            tuple(
                Artifact(
                    "gguf", path, (path,), store="demo", reference=f"{SCHEME}{path.stem}/first"
                )
                for path in sorted(folder("here").glob("*.gguf"))
            )
        )


@hookimpl
def gemmahub_sources() -> list[DemoSource]:
    """One source."""
    return [DemoSource()]


@hookimpl
def gemmahub_stores() -> list[DemoStore]:
    """One store."""
    return [DemoStore()]
