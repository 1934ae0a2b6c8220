"""What a preset may say: one declaration for the settings file, the command line and files.

Ranges are those of ``gemmahub run``'s options; the names are its options' names.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from gemmahub.engines.contract import Setting
from gemmahub.engines.plugin_settings import wrong_value
from gemmahub.formats.ggml_types import CACHE_TYPES
from gemmahub.text import one_line, strip_controls

TABLE: Final = "presets"
"""The table of the settings file: ``[presets.NAME]``."""
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,38}")
"""What a preset may be called, as entries of other tables of tables are."""
LARGEST_TEXT: Final = 1 << 16
"""Characters of a system prompt; a context of 8,192 tokens is full before."""
_MOST_TEXTS: Final = 64
_LONGEST_LINE: Final = 1000
_LINES: Final = ("model", "backend", "system_file", "tools")


@dataclass(frozen=True, slots=True)
class FieldRange:
    """The least and the most that a number may be; None: no limit."""

    least: float | None = None
    most: float | None = None

    def text(self) -> str:
        """As in ``must be from 0 to 1``."""
        if self.most is None:
            return f"must be {self.least:g} or more"
        return f"must be from {self.least:g} to {self.most:,.15g}"


FIELDS: Final = (
    Setting("model", "the model, as every command names it"),
    Setting("backend", "the engine"),
    Setting("context", "context length in tokens", int),
    Setting("cache_type", "precision of the KV cache", choices=tuple(CACHE_TYPES)),
    Setting("gpu_layers", "layers on the GPU", int),
    Setting("experts_in_memory", "layers whose experts stay in system memory", int),
    Setting("cache_in_memory", "keep the KV cache in system memory", bool),
    Setting("threads", "CPU threads", int),
    Setting("options", "options of the engine, by name", dict[str, str]),
    Setting("system", "the system prompt"),
    Setting("system_file", "a text file that holds the system prompt"),
    Setting("temperature", "sampling temperature", float),
    Setting("top_k", "sample from the k most probable tokens", int),
    Setting("top_p", "sample from the tokens of this probability together", float),
    Setting("min_p", "leave out tokens below this share of the most probable one", float),
    Setting("seed", "makes an answer repeatable", int),
    Setting("max_tokens", "longest answer in tokens", int),
    Setting("stop", "texts that end an answer", list[str]),
    Setting("think", "think before answering", bool),
    Setting("think_budget", "tokens of a thought at most", int),
    Setting("tools", "a JSON file of functions that the model may ask for"),
)
BY_NAME: Final = {field.name: field for field in FIELDS}
SETTING: Final = Setting(TABLE, "presets by name, for gemmahub run @NAME", fields=FIELDS)
RANGES: Final = {
    "context": FieldRange(1, 2**31 - 256),  # llama.cpp counts positions in 32 bits
    "gpu_layers": FieldRange(0, 10_000),
    "experts_in_memory": FieldRange(0, 10_000),
    "threads": FieldRange(1, 1024),
    "temperature": FieldRange(0, 100),
    "top_k": FieldRange(0, 1 << 30),
    "top_p": FieldRange(0, 1),
    "min_p": FieldRange(0, 1),
    "seed": FieldRange(0, 2**32 - 2),
    "max_tokens": FieldRange(1, 1 << 30),
    "think_budget": FieldRange(1, 1 << 30),
}
PATHS: Final = ("system_file", "tools")
"""Fields that name files of this machine."""


def wrong_field(field: Setting, value: object) -> str:
    """What a field's value should be instead, or all presets; "" where it is right."""
    if field.fields:  # each preset is looked at by itself: one hides no other
        return "" if isinstance(value, dict) else "must be a table of tables, one for each preset"
    if reason := wrong_value(field, value):
        return reason
    if isinstance(value, int | float) and not isinstance(value, bool):
        limits = RANGES[field.name]
        if not math.isfinite(value) or not _is_within(value, limits):
            return limits.text()
    if isinstance(value, str):
        return _wrong_text(value, _LONGEST_LINE if field.name in _LINES else LARGEST_TEXT)
    return _wrong_texts(value) if isinstance(value, list | dict) else ""


def wrong_preset(values: dict[str, Any]) -> str:
    """What is wrong with a preset, or with what one says together; "" where nothing is."""
    for name, value in values.items():
        if name not in BY_NAME:
            return f"has no setting {one_line(str(name), 60)!r}: there are {', '.join(BY_NAME)}"
        if reason := wrong_field(BY_NAME[name], value):
            return f"{name} {reason}"
    if "model" not in values:
        return "names no model"
    if str(values["model"]).startswith("@"):
        return "model must be a model, not another preset"
    if "system" in values and "system_file" in values:
        return "has system and system_file: only one of them counts"
    if values.get("think") is False and "think_budget" in values:
        return "has a think_budget, and think is false"
    return ""


def _is_within(value: float, limits: FieldRange) -> bool:
    return (limits.least is None or value >= limits.least) and (
        limits.most is None or value <= limits.most
    )


def _wrong_text(value: str, longest: int) -> str:
    if len(value) > longest:
        return f"must have at most {longest:,} characters"
    if not value.isascii() and value != value.encode(errors="replace").decode():
        return "has half of a surrogate pair"
    is_line = longest == _LONGEST_LINE
    if is_line and (not value.strip() or "\n" in value or strip_controls(value) != value):
        return "must be one line of plain text"
    return ""


def _wrong_texts(value: list[str] | dict[str, str]) -> str:
    texts = list(value) if isinstance(value, list) else [*value, *value.values()]
    if len(value) > _MOST_TEXTS:
        return f"must have at most {_MOST_TEXTS} entries"
    if any(not text or _wrong_text(text, LARGEST_TEXT) for text in texts):
        return "must have texts, none of them empty"
    if sum(map(len, texts)) > LARGEST_TEXT:
        return f"must have at most {LARGEST_TEXT:,} characters"
    return ""
