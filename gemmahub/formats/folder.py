"""The files of a model folder: which safetensors are the model, its config, its chat template.

Source: huggingface/transformers ``utils/hub.py`` (``model.safetensors.index.json``) and
ml-explore/mlx-lm ``utils.py``, which loads ``model*.safetensors``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GemmahubError, IntegrityError, NotFound
from gemmahub.formats.json_text import read_object
from gemmahub.formats.source import LocalFile
from gemmahub.text import one_line, plural

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: Final = "config.json"
_WHOLE: Final = "model.safetensors"
_INDEX: Final = "model.safetensors.index.json"
_SHARD: Final = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.safetensors")
_NAMED_SHARDS: Final = 3
_LARGEST_CONFIG: Final = 16 * 1024 * 1024
_LARGEST_INDEX: Final = 64 * 1024 * 1024
_LARGEST_TEMPLATE: Final = 4 * 1024 * 1024


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json``; :class:`IntegrityError` where it is missing or damaged."""
    try:
        return read_object(folder / CONFIG, _LARGEST_CONFIG)
    except NotFound as error:
        raise IntegrityError(
            f"{_shown(folder.name)} has weights but no {CONFIG}",
            "The download is incomplete: fetch the folder again.",
        ) from error


def safetensors_shards(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The safetensors files that are the model in ``folder``, in order, and notes on them.

    Raises :class:`NotFound` where there is none and :class:`IntegrityError` where the index names
    files that are missing, or the numbered names have a gap.
    """
    present = sorted(entry.name for entry in folder.glob("*.safetensors") if entry.is_file())
    notes: tuple[str, ...] = ()
    names: list[str] = []
    if (folder / _INDEX).is_file():
        names = _indexed(folder)
        missing = [name for name in names if name not in present]
        if missing and _WHOLE in present and _WHOLE not in names:
            # Left over from the model that this one was made from; engines read the whole file.
            notes = (f"{_INDEX} names files that are not here; {_WHOLE} was read",)
            names = [_WHOLE]
        elif missing:
            raise _missing(folder, missing, len(names))
    if not names:
        names = [_WHOLE] if _WHOLE in present else _by_name(folder, present)
    if not names:
        raise NotFound(
            f"{_shown(folder.name)} holds no safetensors weights", "Name a folder with a model."
        )
    return [folder / name for name in names], notes


def chat_template(folder: Path) -> str | None:
    """The chat template of a model folder, None where there is none or it cannot be read."""
    text = _template_file(folder / "chat_template.jinja")
    for name in ("chat_template.json", "tokenizer_config.json"):
        text = text or _template_in(folder / name)
    return text


def _indexed(folder: Path) -> list[str]:
    """File names in the index; an empty list where it maps nothing."""
    weight_map = read_object(folder / _INDEX, _LARGEST_INDEX).get("weight_map")
    if not isinstance(weight_map, dict):
        raise IntegrityError(f"{_INDEX} has no weight_map", "Fetch the file again.")
    names = set()
    for name in weight_map.values():
        # A name with a path in it could point out of the folder.
        if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\\" in name:
            raise IntegrityError(
                f"{_INDEX} names {_shown(str(name))}, which is not a file of its folder",
                "Fetch the file again from its source.",
            )
        names.add(name)
    return sorted(names)


def _by_name(folder: Path, present: list[str]) -> list[str]:
    """Without an index: ``model*.safetensors``, else all but adapters."""
    names = [name for name in present if name.startswith("model")]
    names = names or [name for name in present if not name.startswith("adapter")]
    shards = [match for name in names if (match := _SHARD.fullmatch(name))]
    if not shards:
        return names
    stem, count = shards[0][1], int(shards[0][3])
    expected = [f"{stem}-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
    missing = [name for name in expected if name not in names]
    if missing:
        raise _missing(folder, missing, count)
    return names


def _missing(folder: Path, missing: list[str], count: int) -> IntegrityError:
    named = ", ".join(_shown(name) for name in missing[:_NAMED_SHARDS])
    more = len(missing) - _NAMED_SHARDS
    named += f" and {more:,} more" if more > 0 else ""
    return IntegrityError(
        f"{_shown(folder.name)} lacks {len(missing):,} of {plural(count, 'file')}: {named}",
        "The download is incomplete: fetch the missing files into the folder.",
    )


def _template_file(path: Path) -> str | None:
    try:
        with LocalFile(path) as source:
            if source.size > _LARGEST_TEMPLATE:
                return None
            return source.read(0, source.size).decode(errors="replace") or None
    except GemmahubError:
        return None


def _template_in(path: Path) -> str | None:
    """``chat_template`` of a JSON file: a text, or a list of named ones with one called default."""
    try:
        value = read_object(path, _LARGEST_INDEX).get("chat_template")
    except GemmahubError:
        return None
    if isinstance(value, list):
        named = {entry.get("name"): entry for entry in value if isinstance(entry, dict)}
        chosen = named.get("default") or next(iter(named.values()), {})
        value = chosen.get("template")
    return value if isinstance(value, str) and value else None


def _shown(name: str) -> str:
    return one_line(name, 120)
