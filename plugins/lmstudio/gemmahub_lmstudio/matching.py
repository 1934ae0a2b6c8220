"""Which of LM Studio's models a file or a name is.

LM Studio names a model by a key of its own (``gemma-3-270m-it-qat``, ``google/gemma-4-26b-a4b``),
which is neither its folder nor its file, and a variant of one by ``KEY@LABEL``. A name that it
states itself is taken first; else the content has to agree: format, label and size in bytes.

Source: lmstudio-ai/docs ``1_developer/2_rest/list.md`` (``key``, ``publisher``, ``quantization``,
``size_bytes``, ``format``), https://lmstudio.ai/docs/developer/rest/list (``variants``,
``selected_variant``); ``size_bytes`` of a model with images has its projector in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gemmahub.precision.labels import label_in_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.engines.contract import Artifact
    from gemmahub_openai.lm_studio import StudioModel

_ENDING: Final = re.compile(r"[-_.](gguf|mlx)$")
_FOLDER_FORMATS: Final = ("mlx", "safetensors")


def named(reference: str, models: Iterable[StudioModel]) -> tuple[StudioModel, str] | None:
    """The model with this name, and the name to load it by; None where LM Studio has none."""
    wanted = reference.casefold()
    for model in models:
        for name in (model.key, *model.variants):
            if name.casefold() == wanted:
                return model, name
    return None


def model_of(artifact: Artifact, models: Sequence[StudioModel]) -> tuple[StudioModel, str] | None:
    """The model that a file of the store is, and the name to load it by; None where none is, or
    several may be."""
    for reference in (artifact.reference, artifact.repository):
        if reference and (found := named(reference, models)):
            return _as_file(artifact, *found)
    sizes = sizes_of(artifact)
    label = _label(artifact)
    same = [m for m in models if _of_format(artifact, m) and m.quantization.casefold() == label]
    by_size = [model for model in same if model.size_bytes in sizes]
    owner = artifact.repository.partition("/")[0].casefold()
    for some in (by_size, same):
        by_name = [m for m in some if m.publisher.casefold() == owner and _is_called(artifact, m)]
        if len(by_name) == 1:
            return by_name[0], by_name[0].key
    if len(by_size) == 1:
        return by_size[0], by_size[0].key
    return None


def sizes_of(artifact: Artifact) -> frozenset[int]:
    """The bytes of a model's weights, without and with its projector."""
    try:
        if artifact.path.is_dir():
            parts = [part.stat().st_size for part in artifact.path.iterdir() if part.is_file()]
            weights = [p.stat().st_size for p in artifact.path.glob("*.safetensors")]
            return frozenset({sum(parts), sum(weights)})
        size = sum(part.stat().st_size for part in artifact.files or (artifact.path,))
        both = size + (artifact.projector.stat().st_size if artifact.projector else 0)
    except OSError:  # gone meanwhile, or closed
        return frozenset()
    return frozenset({size, both})


def label_of(model: StudioModel, name: str) -> str:
    """The label of what is loaded by this name: LM Studio states that of the chosen variant."""
    label = name.rpartition("@")[2] if "@" in name else ""
    return (label_in_name(label) or model.quantization) if label else model.quantization


def _as_file(artifact: Artifact, model: StudioModel, name: str) -> tuple[StudioModel, str] | None:
    """With the name of the variant that the artifact is: one of several is the chosen one."""
    if not _of_format(artifact, model):
        return None
    label = _label(artifact)
    if not label or label_of(model, name).casefold() in ("", label):
        return model, name
    return named(f"{model.key}@{label}", [model])


def _label(artifact: Artifact) -> str:
    names = (artifact.path.name, artifact.name, artifact.repository)
    return next((label.casefold() for name in names if (label := label_in_name(name))), "")


def _of_format(artifact: Artifact, model: StudioModel) -> bool:
    if artifact.path.is_dir() or artifact.format in _FOLDER_FORMATS:
        return model.format in ("mlx", "safetensors", "")
    return model.format in ("gguf", "")


def _is_called(artifact: Artifact, model: StudioModel) -> bool:
    """Whether a key is made of the names of the folder or the file."""
    key = _plain(model.key.partition("@")[0].rpartition("/")[2])
    folder = _plain(artifact.repository.rpartition("/")[2])
    file = _plain(artifact.path.stem)
    return key in (folder, file) or (bool(key) and file.startswith(f"{key}-"))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", _ENDING.sub("", name.casefold())).strip("-")
