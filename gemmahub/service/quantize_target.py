"""Where a quantized model goes: beside its source where that folder is listed, else into one that
is."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gemmahub.formats.folder import CONFIG
from gemmahub.formats.reader import FOLDER_FORMATS
from gemmahub.formats.split import split_key
from gemmahub.precision.labels import with_label
from gemmahub.stores.defaults import made_here
from gemmahub.stores.disk import may_write

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.config import Config
    from gemmahub.engines.contract import Artifact
    from gemmahub.registry.variants import Variant

_PART: Final = re.compile(r"-[0-9]{5}-of-[0-9]{5}$")
_NOT_OF_NAMES: Final = re.compile(r"[^A-Za-z0-9._]+")


def chosen_target(
    config: Config, variant: Variant, artifact: Artifact, label: str, output: Path | None
) -> Path:
    """The file that is written, or the folder: ``output``, in it where that is a folder of models,
    else by itself."""
    folder = artifact.format in FOLDER_FORMATS
    name = _stem(variant, artifact, label) + ("" if folder else ".gguf")
    if output is not None:
        output = output.expanduser()
        is_target = folder and (output / CONFIG).is_file()  # it is a model, and holds none
        return output / name if output.is_dir() and not is_target else output
    return _folder(config, artifact.path.absolute().parent) / name


def free_bytes(folder: Path) -> int | None:
    """What is free where a folder is, or will be made."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def _stem(variant: Variant, artifact: Artifact, label: str) -> str:
    """The source's name with the new label; ``-mixed`` where the label stays."""
    name = artifact.path.stem
    if artifact.format in FOLDER_FORMATS and not artifact.repository:
        name = artifact.path.absolute().name
    elif artifact.path.suffix.lower() != ".gguf":  # a blob, which is named by its hash
        name = _NOT_OF_NAMES.sub("-", variant.name).strip("-.")
    if split_key(artifact.path.name) is not None:
        name = _PART.sub("", name)
    return with_label(name, label) if label else f"{name}-mixed"


def _folder(config: Config, beside: Path) -> Path:
    listed = [folder.absolute() for folder in (*config.folders, made_here(config))]
    if any(folder in (beside, *beside.parents) for folder in listed) and may_write(beside):
        return beside
    return next((f for f in config.folders if f.is_dir() and may_write(f)), made_here(config))
