"""Which files of a repository are a model, and which model a label or file name means. Pure.

A listing may be as long as its publisher likes: the work grows with the number of files, never with
its square.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from gemmahub.catalog.records import WHOLE
from gemmahub.errors import IntegrityError, NotFound
from gemmahub.formats.folder import ADAPTER_CONFIG
from gemmahub.formats.kinds import ADAPTER, MODELS, WHAT, is_projector, kind_of
from gemmahub.formats.split import split_key
from gemmahub.hub.records import HubFile, HubModel
from gemmahub.precision.labels import label_in_name, model_sizes, projector_rank
from gemmahub.text import format_bytes, nearest, one_line, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.hub.records import Repository

_Key = TypeVar("_Key")

_GGUF: Final = ".gguf"
_SAFETENSORS: Final = ".safetensors"
_CONFIG: Final = "config.json"
_COMPANIONS: Final = (".json", ".jinja", ".model", ".txt", ".tiktoken")
_NAMED: Final = 24
_COMPARED: Final = 2_000  # names that a mistyped one is compared with, letter by letter


def models_in(repository: Repository) -> tuple[HubModel, ...]:
    """All models in a repository, in the order of their names. What its name calls a projector, a
    drafter, an adapter or other data is none; where there is nothing else, its header has to tell.
    """
    models = [f for f in repository.files if kind_of(f.path) in MODELS]
    found = _models_among(repository, models)
    if not found:
        others = [f for f in repository.files if not is_projector(f.name)]
        found = _models_among(repository, others)
    return found


def _models_among(repository: Repository, files: Sequence[HubFile]) -> tuple[HubModel, ...]:
    ggufs: dict[tuple[str, str, int], list[HubFile]] = {}
    folders: dict[str, list[HubFile]] = {}
    companions: dict[str, list[HubFile]] = {}
    configs = {folder_of(f.path) for f in repository.files if f.name == _CONFIG}
    for file in repository.files:
        if file.name.endswith(_COMPANIONS) and folder_of(file.path) in configs:
            companions.setdefault(folder_of(file.path), []).append(file)
    for file in sorted(files, key=lambda f: f.path):
        name, folder = file.name, folder_of(file.path)
        if name.lower().endswith(_GGUF):
            key = split_key(name)
            stem, count = (key[0], key[2]) if key else (name, 1)
            ggufs.setdefault((folder, stem, count), []).append(file)
        elif name.endswith(_SAFETENSORS) and folder in configs:
            folders.setdefault(folder, []).append(file)
    projectors = Projectors(repository)
    found = [_gguf_model(repository, parts, projectors) for parts in ggufs.values()]
    for folder, files in folders.items():
        found.append(_folder_model(repository, folder, files, companions[folder]))
    return tuple(found)


def by_file(repository: Repository, path: str) -> HubModel:
    """The model that a file (or folder, :data:`WHOLE` for the top) of the repository belongs to.

    Raises: NotFound, with the names that there are; IntegrityError where parts are missing.
    """
    file = _file(repository, path)
    models = models_in(repository)
    for model in models:
        if file is not None and file in model.files:
            return complete(model)
        folder = folder_of(model.files[0].path) or WHOLE
        if path.strip("/") == folder and model.format != "gguf":
            return complete(model)
        is_config = file is not None and file.name == _CONFIG
        if is_config and model.format != "gguf" and file in model.companions:
            return complete(model)
    if file is not None and file.name.lower().endswith((_GGUF, _SAFETENSORS)):
        format_ = "gguf" if file.name.lower().endswith(_GGUF) else "safetensors"
        return HubModel(repository, format_, label_in_name(file.name), (file,))
    inside = [m for m in models if m.files[0].path.startswith(path.strip("/") + "/")]
    if len(inside) == 1:
        return complete(inside[0])
    if file is not None:
        raise NotFound(
            f"{one_line(path, 120)} of {repository.name} is not a model file",
            _there_is(repository, models),
        )
    near = nearest(path, [f.path for f in repository.files[:_COMPARED]])
    hint = f"did you mean {', '.join(one_line(n, 120) for n in near)}?" if near else ""
    raise NotFound(
        f"{repository.name} has no file {one_line(path, 120)}{_left_out(repository)}",
        hint or _there_is(repository, models),
    )


def by_label(repository: Repository, label: str | None) -> HubModel:
    """The model with that quantization label; without a label the only model there is.

    Raises: NotFound where there is none or more than one, with the labels that there are;
    IntegrityError where parts of it are missing.
    """
    models = models_in(repository)
    if not models and any(f.name == ADAPTER_CONFIG for f in repository.files):
        raise NotFound(
            f"{repository.name} is {WHAT[ADAPTER].partition(':')[0]}, not a model",
            "pull the model that it was trained on; llama-server takes adapters as GGUF",
        )
    if not models:
        raise NotFound(
            f"{repository.name} has neither a GGUF file nor a folder with config.json and "
            f"safetensors{_left_out(repository)}",
            "see gemmahub search",
        )
    matching = models if label is None else _matching(models, label)
    if len(matching) == 1:
        return complete(matching[0])
    if label is None:
        raise NotFound(
            f"{repository.name} has {plural(len(models), 'model')}: choose one",
            _there_is(repository, models),
        )
    shown = one_line(label, 60)
    if matching:
        raise NotFound(
            f"{shown} matches {plural(len(matching), 'model')} in {repository.name}",
            f"name the file: {', '.join(_named((m.reference for m in matching), len(matching)))}",
        )
    raise NotFound(f"{repository.name} has no {shown}", _there_is(repository, models))


def complete(model: HubModel) -> HubModel:
    """The same model; IntegrityError where parts of a split file are not in the repository."""
    key = split_key(model.files[0].name) if model.format == "gguf" else None
    if key is not None and len(model.files) != key[2]:
        numbers = {split[1] for file in model.files if (split := split_key(file.name))}
        missing = [str(n) for n in range(1, key[2] + 1) if n not in numbers]
        raise IntegrityError(
            f"{model.repository.name} lacks part {', '.join(missing[:5])} of {key[2]} "
            f"of {one_line(key[0], 120)}",
            "its publisher has not uploaded the rest; use another file or repository",
        )
    return model


class Projectors:
    """The projector files of a repository: the one to take is found by folder and model size."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository.name
        # The first in order, by folder and size; "" stands for those that name no size.
        self._first: dict[tuple[str, str], tuple[int, str, HubFile]] = {}
        self._first_of_all: dict[str, tuple[int, str, HubFile]] = {}
        for file in projectors_in(repository):
            folder, rank = folder_of(file.path), (projector_rank(file.name), file.path, file)
            for size in model_sizes(file.name) or {""}:
                _keep_first(self._first, (folder, size), rank)
            _keep_first(self._first_of_all, folder, rank)

    def best_for(self, first: HubFile) -> HubFile | None:
        """The one that belongs to the GGUF that begins with ``first``: F16 or BF16 before others.

        It is in the model's folder or at the top, and of the model's size where both names say one.
        """
        if not self._first_of_all or is_projector(first.name):
            return None
        sizes = model_sizes(first.name) or model_sizes(self._repository)
        fitting = []
        for folder in {folder_of(first.path), ""}:
            if sizes:
                fitting += [self._first.get((folder, size)) for size in (*sizes, "")]
            else:
                fitting.append(self._first_of_all.get(folder))
        found = min((rank for rank in fitting if rank), key=lambda rank: rank[:2], default=None)
        return found[2] if found else None


def _keep_first(
    ranks: dict[_Key, tuple[int, str, HubFile]], key: _Key, rank: tuple[int, str, HubFile]
) -> None:
    if key not in ranks or rank[:2] < ranks[key][:2]:
        ranks[key] = rank


def projectors_in(repository: Repository) -> list[HubFile]:
    """The projector files of a repository."""
    return [file for file in repository.files if is_projector(file.name)]


def label_of(path: str, repository: str) -> str | None:
    """The label in a file's name, else in its folder's, else in the repository's."""
    folder, _, name = path.rpartition("/")
    return label_in_name(name) or label_in_name(folder) or label_in_name(repository)


def folder_of(path: str) -> str:
    """The folder of a file in a repository, "" for the top."""
    return path.rpartition("/")[0]


def _gguf_model(repository: Repository, parts: list[HubFile], projectors: Projectors) -> HubModel:
    label = label_of(parts[0].path, repository.name)
    projector = projectors.best_for(parts[0])
    return HubModel(repository, "gguf", label, tuple(parts), projector=projector)


def _folder_model(
    repository: Repository, folder: str, files: list[HubFile], companions: list[HubFile]
) -> HubModel:
    mlx = repository.library.lower() == "mlx" or "mlx" in repository.tags
    weights = [f for f in files if f.name.startswith("model")] or files
    label = label_in_name(folder) or label_in_name(repository.name)
    return HubModel(
        repository, "mlx" if mlx else "safetensors", label, tuple(weights), tuple(companions)
    )


def _file(repository: Repository, path: str) -> HubFile | None:
    """The file of that path, else the only one that differs from it in case alone."""
    exact = next((f for f in repository.files if f.path == path), None)
    if exact is not None:
        return exact
    folded = [f for f in repository.files if f.path.casefold() == path.casefold()]
    return folded[0] if len(folded) == 1 else None


def _matching(models: Sequence[HubModel], label: str) -> list[HubModel]:
    """Models with the label exactly; else with or without ``UD-``; else with all its words."""
    wanted = _plain(label)
    exact = [m for m in models if m.label and _plain(m.label) == wanted]
    if exact:
        return exact
    bare = wanted.removeprefix("ud-")
    loose = [m for m in models if m.label and _plain(m.label).removeprefix("ud-") == bare]
    if loose and wanted == bare:
        return loose
    words = [word for word in wanted.split("-") if word]
    return [m for m in models if words and _has_words(m, words)]


def _has_words(model: HubModel, words: list[str]) -> bool:
    """Whether each word stands alone in the model's file name, or in its folder's."""
    text = _plain(model.files[0].path if model.format == "gguf" else model.repository.name)
    return all(
        re.search(rf"(?<![a-z0-9]){re.escape(w)}(?![a-z0-9]|_[a-z0-9])", text) for w in words
    )


def _plain(label: str) -> str:
    text = label.casefold()
    return re.sub(r"^ud_", "ud-", text)


def _left_out(repository: Repository) -> str:
    """The files of which the hub gives no usable size or name, for messages; "" without any."""
    skipped = repository.skipped
    more = f" and {len(skipped) - 1:,} more" if len(skipped) > 1 else ""
    return f" ({skipped[0]}{more} left out: no usable size or name)" if skipped else ""


def _there_is(repository: Repository, models: Sequence[HubModel]) -> str:
    """What the repository has, as one can ask for it."""
    if not models:
        return "it has no model: see gemmahub search"
    labels = Counter(m.label for m in models)

    def named(model: HubModel) -> str:
        unique = model.label is not None and labels[model.label] == 1
        name = f"{repository.name}:{model.label}" if unique else model.reference
        return f"{one_line(name, 160)} ({format_bytes(model.size_bytes)})"

    return f"it has {', '.join(_named(map(named, models), len(models)))}"


def _named(names: Iterable[str], count: int) -> list[str]:
    """The first of ``count`` names, and how many more there are; only these are made."""
    listed = [one_line(name, 200) for name in islice(names, _NAMED)]
    more = count - len(listed)
    return listed + ([f"and {more:,} more"] if more > 0 else [])
