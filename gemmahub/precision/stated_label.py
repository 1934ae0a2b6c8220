"""The label that a model file states itself: by its file type, or by how its tensors are stored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.foreign_types import FORK_LABELS, unread_by_llamacpp
from gemmahub.formats.ggml_types import FILE_TYPE_LABELS
from gemmahub.formats.tensor import UNKNOWN_PACKING
from gemmahub.precision.mix import main_type
from gemmahub.precision.number_formats import number_format
from gemmahub.precision.training import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmahub.precision.mix import MixEntry

_OF_A_METHOD: Final = re.compile(r"(\S+) (?:(\d+)-bit|INT(\d)|F8_\w+|NF4|FP4)(?: g\d+)?")
_METHODS: Final = {"bnb": "bitsandbytes"}
_INTEGERS: Final = re.compile(r"(INT\d)(?: g\d+)?")


def file_type_label(metadata: Mapping[str, Any]) -> str | None:
    """The label of ``general.file_type``; None where it has none, or one that nobody knows."""
    number = metadata.get("general.file_type")
    if not isinstance(number, int):
        return None
    return FILE_TYPE_LABELS.get(number) or FORK_LABELS.get(number)


def file_type_notes(metadata: Mapping[str, Any], mix: Sequence[MixEntry]) -> tuple[str, ...]:
    """What has to be said of the types in a GGUF file: which nobody knows or llama.cpp refuses."""
    number = metadata.get("general.file_type")
    notes = [
        why for each in dict.fromkeys(e.type for e in mix) if (why := unread_by_llamacpp(each))
    ]
    if isinstance(number, int) and file_type_label(metadata) is None:
        notes.append(f"file type {number} is unknown: the tensors decide")
    return tuple(notes)


def folder_label(mix: Sequence[MixEntry]) -> str | None:
    """Folders state no label: it follows from how most weights outside the embedding are stored."""
    main = main_type(mix)
    if main.startswith(UNKNOWN_PACKING):
        return f"bits unknown: quantized with {main.removeprefix(UNKNOWN_PACKING)}"
    if main == UNKNOWN:
        return None
    numbers = number_format(main)
    if main.startswith("MLX "):
        bits = f"{numbers.bits:.0f}bit"
        return numbers.name.upper() if numbers.name.startswith(("mx", "nv")) else bits
    if main in ("F8_E4M3", "F8_E5M2"):
        return "FP8"
    if match := _INTEGERS.fullmatch(main):
        return match[1]
    if match := _OF_A_METHOD.fullmatch(main):
        return f"{numbers.bits:.0f}-bit {_METHODS.get(match[1], match[1])}"
    return main
