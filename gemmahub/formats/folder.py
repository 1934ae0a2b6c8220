"""The files of a model folder: which safetensors are the model, its config, its chat template.

Source: huggingface/transformers ``utils/hub.py`` (``model.safetensors.index.json``) and
ml-explore/mlx-lm ``utils.py``, which loads ``model*.safetensors``.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import FormatError, GemmahubError, IntegrityError, NotFound
from gemmahub.formats.json_text import read_object
from gemmahub.formats.numbered import Gaps, gaps
from gemmahub.formats.source import LocalFile
from gemmahub.text import format_bytes, one_line, plural

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: Final = "config.json"
ADAPTER_CONFIG: Final = "adapter_config.json"
"""What an adapter has in its place: PEFT's, and that of mlx-lm."""
QUANTIZATION_CONFIG: Final = "hf_quant_config.json"
_QUANTIZED: Final = ("quantization", "quantization_config", "compression_config")
_WHOLE: Final = "model.safetensors"
_INDEX: Final = "model.safetensors.index.json"
_SHARD: Final = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.safetensors")
_LARGEST_CONFIG: Final = 4 * 1024 * 1024  # the longest published ones have some ten KB
LARGEST_TEXT: Final = 16 * 1024 * 1024
"""Of the other JSON files, in bytes: the index of the largest models has 9 MB."""
LARGEST_TEMPLATE: Final = 4 * 1024 * 1024
"""Of a chat template, in bytes: the longest published ones have some ten KB."""
MOST_FILES: Final = 1024
"""Files of one model. The largest published models have less than 200."""


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json``, of an adapter its own; :class:`IntegrityError` where it is missing or
    damaged."""
    adapter = folder / ADAPTER_CONFIG
    try:
        if adapter.is_file() and not (folder / CONFIG).is_file():
            return {"peft_type": "LORA"} | read_object(adapter, _LARGEST_CONFIG)
        return _with_beside(read_object(folder / CONFIG, _LARGEST_CONFIG), folder)
    except NotFound as error:
        raise IntegrityError(
            f"{_shown(folder.name)} has weights but no {CONFIG}",
            "The download is incomplete: fetch the folder again.",
        ) from error


def _with_beside(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The config with what ModelOpt writes beside it, where it says nothing of quantization itself
    (NVIDIA/TensorRT-Model-Optimizer ``modelopt/torch/export/unified_export_hf.py``)."""
    if any(name in config for name in _QUANTIZED):
        return config
    with suppress(GemmahubError):  # without it the tensors say what they can
        found = read_object(folder / QUANTIZATION_CONFIG, _LARGEST_CONFIG).get("quantization")
        if isinstance(found, dict):
            return config | {"quantization_config": {"quant_method": "modelopt"} | found}
    return config


def safetensors_shards(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The safetensors files that are the model in ``folder``, in order, and notes on them.

    Raises :class:`NotFound` where there is none and :class:`IntegrityError` where the index names
    files that are missing, or the numbered names have a gap; :class:`FormatError` for too many.
    """
    present = {entry.name for entry in folder.glob("*.safetensors") if entry.is_file()}
    notes: tuple[str, ...] = ()
    names: list[str] = []
    if (folder / _INDEX).is_file():
        names = _indexed(folder)
        missing = [name for name in names if name not in present]
        if missing and _WHOLE in present and _WHOLE not in names:
            # Left over from the model that this one was made from; engines read the whole file.
            notes = (f"{_INDEX} names missing files, so {_WHOLE} was read",)
            names = [_WHOLE]
        elif missing:
            named = Gaps(tuple(range(len(missing))[:3]), len(missing)).named(missing.__getitem__)
            raise _missing(folder, named, len(missing), len(names))
    if not names:
        names = [_WHOLE] if _WHOLE in present else _by_name(folder, sorted(present))
    if not names:
        raise NotFound(
            f"{_shown(folder.name)} holds no safetensors weights", "Name a folder with a model."
        )
    if len(names) > MOST_FILES:
        raise FormatError(
            f"{_shown(folder.name)} has its weights in {len(names):,} files, but gemmahub "
            f"reads at most {MOST_FILES:,}",
            "If other programs can read the model, report it.",
        )
    return [folder / name for name in names], notes


def chat_template(folder: Path) -> str | None:
    """The chat template of a model folder, None where there is none or it cannot be read."""
    return read_chat_template(folder)[0]


def read_chat_template(folder: Path) -> tuple[str | None, tuple[str, ...]]:
    """The same, and notes on the files that were not read."""
    notes = []
    for name, read in (
        ("chat_template.jinja", _template_file),
        ("chat_template.json", _template_in),
        ("tokenizer_config.json", _template_in),
    ):
        try:
            text = read(folder / name)
        except NotFound:
            continue
        except GemmahubError as error:
            notes.append(f"no chat template was read from {name}: {error.message}")
            continue
        if text:
            return text, tuple(notes)
    return None, tuple(notes)


def _indexed(folder: Path) -> list[str]:
    """File names in the index; an empty list where it maps nothing."""
    weight_map = read_object(folder / _INDEX, LARGEST_TEXT).get("weight_map")
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
    """Without an index: ``model*.safetensors``, else all but adapters, else these."""
    names = [name for name in present if name.startswith("model")]
    names = names or [name for name in present if not name.startswith("adapter")] or present
    shards = [match for name in names if (match := _SHARD.fullmatch(name))]
    if not shards:
        return names
    stem, count = shards[0][1], int(shards[0][3])
    alike = [int(match[2]) for match in shards if match[1] == stem and int(match[3]) == count]
    missing = gaps(count, alike)
    if missing.total:
        named = missing.named(lambda number: f"{stem}-{number:05}-of-{count:05}.safetensors")
        raise _missing(folder, named, missing.total, count)
    return names


def _missing(folder: Path, named: str, missing: int, count: int) -> IntegrityError:
    return IntegrityError(
        f"{_shown(folder.name)} lacks {missing:,} of {plural(count, 'file')}: {named}",
        "The download is incomplete: fetch the missing files into the folder.",
    )


def _template_file(path: Path) -> str:
    with LocalFile(path) as source:
        _check_template(source.size)
        return source.read(0, source.size).decode(errors="replace")


def _template_in(path: Path) -> str | None:
    """``chat_template`` of a JSON file: a text, or a list of named ones with one called default."""
    value = read_object(path, LARGEST_TEXT).get("chat_template")
    if isinstance(value, list):
        named: dict[str, Any] = {}
        for entry in value:
            if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                named[entry["name"]] = entry.get("template")
        if not named and value:
            raise IntegrityError("its list has no template with a name", "Fetch the file again.")
        value = named.get("default", next(iter(named.values()), None))
    if value is None:
        return None
    if not isinstance(value, str):
        raise IntegrityError("it is not a text", "Fetch the file again.")
    _check_template(len(value.encode()))
    return value


def _check_template(size: int) -> None:
    if size > LARGEST_TEMPLATE:
        raise FormatError(template_too_long(size), "The model can still complete plain text.")


def template_too_long(size: int) -> str:
    """Why a chat template of ``size`` bytes is not read."""
    return f"it has {format_bytes(size)}, more than {format_bytes(LARGEST_TEMPLATE)}"


def _shown(name: str) -> str:
    return one_line(name[:120], 120)
