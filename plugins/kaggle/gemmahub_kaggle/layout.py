"""Which of a version's files are models, by their names: on Kaggle and in kagglehub's cache alike.

A format that gemmahub or a plugin reads is then measured; another one is named for what it is.
Sources of the names: ``_METADATA`` and ``_CHECKPOINT_METADATA`` are google/orbax's
(``orbax/checkpoint/_src/metadata/checkpoint.py``), ``manifest.ocdbt`` is TensorStore's; ``.sbs`` is
gemma.cpp's; ``.task``, ``.tflite`` and ``.litertlm`` are Google AI Edge's.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from gemmahub.formats.folder import ADAPTER_CONFIG, CONFIG
from gemmahub.formats.kinds import is_projector
from gemmahub.formats.numbered import gaps
from gemmahub.formats.split import split_key
from gemmahub.precision.labels import model_sizes, projector_rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CONFIGS: Final = (CONFIG, ADAPTER_CONFIG)
_CHECKPOINT: Final = frozenset({"_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"})
_ALONE: Final = {
    ".sbs": "sbs",
    ".litertlm": "litertlm",
    ".task": "task",
    ".tflite": "tflite",
    ".onnx": "onnx",
    ".keras": "keras",
}
"""Formats of which each file is a model."""
_TOGETHER: Final = {
    ".ckpt": "pytorch",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".h5": "keras",
    ".npz": "numpy",
    ".msgpack": "flax",
    ".bin": "",
    ".safetensors": "safetensors",
}
"""Formats whose files in one folder are one model; "" leaves it to the framework."""
_BIN: Final = {"tfLite": "task", "pyTorch": "pytorch", "transformers": "pytorch"}
_ARCHIVES: Final = (".tar.gz", ".tgz", ".tar", ".zip", ".tar.bz2", ".tar.xz")
ARCHIVE: Final = "archive"


@dataclass(frozen=True, slots=True)
class KaggleModel:
    """A model among the files of a version, all paths relative to its folder.

    ``path`` names it: its first file, or its folder ("" for the whole). ``weights`` are in order.
    ``problem`` says what is missing.
    """

    format: str
    path: str
    weights: tuple[str, ...]
    projector: str | None = None
    problem: str = ""
    folder: bool = False


def models_in(names: Iterable[str], framework: str) -> list[KaggleModel]:
    """The models among these files of a variation for ``framework``; none where there are none."""
    left = sorted(names)
    found: list[KaggleModel] = []
    for take in (_ggufs, _checkpoints, _folders, _alone):
        models = take(left)
        found += models
        left = _without(left, models)
    if not found:
        found += _together(left, framework)
    if not found:
        found += _archives(left)
    if not found:
        found += _whole(left, framework)
    return sorted(found, key=lambda model: model.path)


def chosen(models: Sequence[KaggleModel], file: str) -> KaggleModel | None:
    """The model that a file or folder of a version names; None where it is no model's."""
    wanted = file.strip("/")
    exact = (m for m in models if wanted == m.path or wanted in m.weights)
    return next(exact, None)


def _without(names: list[str], models: list[KaggleModel]) -> list[str]:
    taken = {name for model in models for name in model.weights}
    taken |= {model.projector for model in models if model.projector}
    return [name for name in names if name not in taken]


def _ggufs(names: list[str]) -> list[KaggleModel]:
    files = [name for name in names if name.lower().endswith(".gguf")]
    projectors = [name for name in files if is_projector(_last(name))]
    parts: dict[tuple[str, str, int], dict[int, str]] = defaultdict(dict)
    models = []
    for name in files:
        if name in projectors:
            continue
        if key := split_key(_last(name)):
            parts[_folder(name), key[0], key[2]][key[1]] = name
        else:
            models.append(KaggleModel("gguf", name, (name,), _projector(name, projectors)))
    for (_, _, count), numbered in parts.items():
        missing = gaps(count, numbered)
        files = [numbered[number] for number in sorted(numbered)]
        problem = f"part {missing.first[0]} of {count} is missing" if missing.total else ""
        models.append(
            KaggleModel("gguf", files[0], tuple(files), _projector(files[0], projectors), problem)
        )
    return models


def _projector(model: str, projectors: list[str]) -> str | None:
    """The one in the model's folder, or at the top, and of its size where both say one."""
    sizes = model_sizes(_last(model))
    fitting = [
        (_folder(name) != _folder(model), projector_rank(_last(name)), name)
        for name in projectors
        if _folder(name) in (_folder(model), "")
        and (not sizes or not model_sizes(_last(name)) or sizes & model_sizes(_last(name)))
    ]
    return min(fitting)[2] if fitting else None


def _checkpoints(names: list[str]) -> list[KaggleModel]:
    """Folders with the marks of a checkpoint, the topmost of each nest."""
    marked = sorted({_folder(name) for name in names if _last(name) in _CHECKPOINT}, key=len)
    tops: list[str] = []
    for folder in marked:
        if not any(_is_below(folder, top) for top in tops):
            tops.append(folder)
    if tops == [""]:  # its folder is the version's: other files there are not the checkpoint's
        return [KaggleModel("orbax", "", tuple(n for n in names if _is_weight(n)), folder=True)]
    return [
        KaggleModel("orbax", top, tuple(n for n in names if _is_below(n, top)), folder=True)
        for top in tops
    ]


def _folders(names: list[str]) -> list[KaggleModel]:
    """Folders with a config and safetensors."""
    weights: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if name.lower().endswith(".safetensors"):
            weights[_folder(name)].append(name)
    here = set(names)
    return [
        KaggleModel("safetensors", folder, tuple(files), folder=True)
        for folder, files in weights.items()
        if any(_join(folder, config) in here for config in _CONFIGS)
    ]


def _alone(names: list[str]) -> list[KaggleModel]:
    return [
        KaggleModel(format_, name, (name,)) for name in names if (format_ := _ALONE.get(_end(name)))
    ]


def _together(names: list[str], framework: str) -> list[KaggleModel]:
    files: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in names:
        format_ = _TOGETHER.get(_end(name))
        if format_ is not None:
            format_ = format_ or _BIN.get(framework) or framework.lower()
            files[_folder(name), format_].append(name)
    return [
        KaggleModel(format_, found[0] if len(found) == 1 else folder, tuple(found),
                    folder=len(found) > 1)
        for (folder, format_), found in files.items()
    ]  # fmt: skip


def _archives(names: list[str]) -> list[KaggleModel]:
    found = [name for name in names if name.lower().endswith(_ARCHIVES)]
    return [KaggleModel(ARCHIVE, name, (name,)) for name in found]


def _whole(names: list[str], framework: str) -> list[KaggleModel]:
    """All of a version, where nothing in it says what it is but the framework."""
    weights = tuple(name for name in names if _is_weight(name))
    return [KaggleModel(framework.lower() or "other", "", weights, folder=True)] if weights else []


def _is_weight(name: str) -> bool:
    """Whether a file may be weights: texts, configs and tokenizers are none."""
    texts = (".md", ".txt", ".json", ".jinja", ".model", ".spm", ".py", ".yaml", ".yml", ".csv")
    last = _last(name).lower()
    named = last in ("license", "licence", "notice", "tokenizer", ".gitattributes", "readme")
    return _last(name) in _CHECKPOINT or not (last.endswith(texts) or named)


def _is_below(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/") if folder else True


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _end(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
