"""What memory depends on, from ``config.json`` and the headers of the safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.errors import BackendError, GemmahubError, LoadFailed
from gemmahub.formats.folder import read_config, safetensors_shards
from gemmahub.formats.reader import MOST_TENSORS
from gemmahub.formats.safetensors import read_safetensors
from gemmahub.formats.source import LocalFile
from gemmahub.memory import MemoryArchitecture, UnknownArchitecture, from_config
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gemmahub.engines.contract import Artifact


@dataclass(frozen=True, slots=True)
class FolderHeader:
    """A folder's configuration, and the names and bytes of its tensors."""

    config: Mapping[str, Any]
    architecture: MemoryArchitecture | UnknownArchitecture
    tensors: tuple[tuple[str, int], ...]

    @property
    def known(self) -> MemoryArchitecture:
        """The architecture. Raises: BackendError where its memory is not known."""
        if isinstance(self.architecture, UnknownArchitecture):
            name = one_line(self.architecture.name, 60) or "nameless"
            raise BackendError(
                f"the memory use of a {name} model in vLLM is unknown: {self.architecture.reason}",
                "load it without a plan: set its context with --ctx-size",
            )
        return self.architecture

    @property
    def context_length(self) -> int | None:
        """Tokens that the model was trained for, None where it is not known."""
        found = getattr(self.architecture, "context_length", 0)
        return found or None


def folder_of(artifact: Artifact) -> Path:
    """The folder of a model, also where one of its files names it. Raises: LoadFailed."""
    path = artifact.path if artifact.path.is_dir() else artifact.path.parent
    if not artifact.path.exists() or not (path / "config.json").is_file():
        raise LoadFailed(
            f"there is no folder with a config.json at {one_line(str(artifact.path), 200)}",
            "name the folder of a safetensors model; see `gemmahub list`",
        )
    return path


def read_header(folder: Path) -> FolderHeader:
    """The model in ``folder``; files without weights are enough. Raises: LoadFailed."""
    found: list[tuple[str, int]] = []
    try:
        config = read_config(folder)
        files, _ = safetensors_shards(folder)
        for file in files:
            with LocalFile(file) as source:
                found += [(t.name, t.bytes or 0) for t in read_safetensors(source).tensors]
            if len(found) > MOST_TENSORS:
                raise LoadFailed(
                    f"the model has more than {MOST_TENSORS:,} tensors", "load another one"
                )
    except GemmahubError as error:
        raise LoadFailed(error.message, error.hint) from None
    return FolderHeader(config, from_config(config), tuple(found))
