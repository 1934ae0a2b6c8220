"""What a file that was quantized here says of its making, in its own metadata.

The keys of importance matrices are those that llama.cpp's tool writes (``tools/quantize``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "quantize.gemmahub."
SOURCE: Final = PREFIX + "source"
SOURCE_SHA256: Final = PREFIX + "source_sha256"
SOURCE_LABEL: Final = PREFIX + "source_label"
BY: Final = PREFIX + "by"
RECIPE: Final = PREFIX + "recipe"
TRAINING: Final = PREFIX + "training"
AGAIN: Final = PREFIX + "again_from"
"""The label of a source whose quantized weights were quantized again."""
IMPORTANCE: Final = "quantize.imatrix.file"
DATASET: Final = "quantize.imatrix.dataset"
_LONGEST: Final = 127
"""Bytes of one text: what llama.cpp takes."""


def provenance(**values: str) -> dict[str, str]:
    """Texts by key, for values by the names of the keys in small letters; those that are empty are
    left out, long ones are cut."""
    keys = {
        "source": SOURCE, "source_sha256": SOURCE_SHA256, "source_label": SOURCE_LABEL,
        "by": BY, "recipe": RECIPE, "training": TRAINING, "again": AGAIN,
        "importance": IMPORTANCE, "dataset": DATASET,
    }  # fmt: skip
    return {keys[name]: _short(value) for name, value in values.items() if value}


def said(metadata: Mapping[str, Any], key: str) -> str:
    """What a file says under one of the keys, made harmless; "" where it says nothing."""
    value = metadata.get(key)
    return one_line(value, 200) if isinstance(value, str) else ""


def _short(text: str) -> str:
    """As much of one line as fits."""
    raw = one_line(text, _LONGEST).encode()
    return _text(raw) if len(raw) <= _LONGEST else _text(raw[: _LONGEST - 3]) + "…"


def _text(raw: bytes) -> str:
    """Bytes as text, without half a character at the end."""
    return raw.decode(errors="ignore")
