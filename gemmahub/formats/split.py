"""GGUF models in several files: ``name-00001-of-00003.gguf`` and its siblings.

Source: llama.cpp ``tools/gguf-split``: every part says its number and the number of parts, the
first one carries the metadata of the whole.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import FormatError, IntegrityError, NotFound
from gemmahub.formats.folder import LARGEST_TEMPLATE, MOST_FILES, template_too_long
from gemmahub.formats.gguf import GgufFile, read_gguf
from gemmahub.formats.gguf_tensors import MAX_TENSORS
from gemmahub.formats.gguf_values import TextRef
from gemmahub.formats.numbered import gaps
from gemmahub.formats.source import LocalFile
from gemmahub.text import one_line, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gemmahub.formats.gguf_values import Value
    from gemmahub.formats.source import ByteSource, Opener
    from gemmahub.formats.tensor import Tensor

_PART: Final = re.compile(
    r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})(?P<end>\.gguf)", re.IGNORECASE
)
_MISSING_HINT: Final = "Fetch the missing parts into the same folder."
_ASKED_FOR: Final = 32
_CHAT_TEMPLATE: Final = "tokenizer.chat_template"


@dataclass(frozen=True, slots=True)
class GgufModel:
    """One model from one or more GGUF files.

    ``parts`` are the headers of ``files``, ``metadata`` is that of the first part, ``tensors`` are
    those of all parts in order, ``size_bytes`` is the size of all files. ``notes`` say what was not
    read.
    """

    files: tuple[Path, ...]
    parts: tuple[GgufFile, ...]
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    size_bytes: int
    chat_template: str | None
    notes: tuple[str, ...] = ()


def split_key(name: str) -> tuple[str, int, int] | None:
    """Stem, number (from 1) and count of a part by its file name; None for any other name."""
    match = _PART.fullmatch(name)
    if match is None:
        return None
    number, count = int(match["number"]), int(match["count"])
    return (match["stem"], number, count) if 1 <= number <= count else None


def gguf_parts(path: Path) -> list[Path]:
    """All files of the model that ``path`` is a part of, in order; just ``path`` if it is whole.

    Raises :class:`NotFound` where ``path`` does not exist and :class:`IntegrityError` where other
    parts are missing, by name.
    """
    match = _PART.fullmatch(path.name)
    if match is None or split_key(path.name) is None:
        return [path]
    stem, count, end = match["stem"], int(match["count"]), match["end"]

    def name_of(number: int) -> str:
        return f"{stem}-{number:05}-of-{count:05}{end}"

    numbers = _numbers_here(path, name_of, count)
    if int(match["number"]) not in numbers:
        raise NotFound(f"there is no file {one_line(str(path))}", "Check the path.")
    missing = gaps(count, numbers)
    if missing.total:
        raise _missing(path.name, missing.named(name_of), count)
    if count > MOST_FILES:
        raise FormatError(
            f"{one_line(path.name)} is one of {count:,} parts, but gemmahub reads at most "
            f"{MOST_FILES:,}",
            "If other programs can read the model, report it.",
        )
    return [path.with_name(name_of(number)) for number in range(1, count + 1)]


def _numbers_here(path: Path, name_of: Callable[[int], str], count: int) -> set[int]:
    """The numbers of the parts that lie beside ``path``, itself among them."""
    if count <= _ASKED_FOR:  # a folder may hold many models: few parts are asked for by name
        return {n for n in range(1, count + 1) if os.path.lexists(path.with_name(name_of(n)))}
    try:
        names = {entry.name for entry in path.parent.iterdir()}
    except OSError:  # no such folder, or not one that may be read
        return set()
    found = (_PART.fullmatch(name) for name in names)
    numbers = {int(match["number"]) for match in found if match}
    return {number for number in numbers if name_of(number) in names}


def read_gguf_files(paths: Sequence[Path], open_file: Opener = LocalFile) -> GgufModel:
    """The model in ``paths``: all parts in order, as :func:`gguf_parts` lists them.

    Raises what :class:`LocalFile` and :func:`read_gguf` raise, and :class:`IntegrityError` for
    parts that are missing, in the wrong order or do not belong together.
    """
    if not paths:
        raise NotFound("no file was named", "Name a .gguf file.")
    parts: list[GgufFile] = []
    template: str | None = None
    notes: list[str] = []
    for path in paths:
        try:
            with open_file(path) as source:
                part = read_gguf(source)
                if template is None:
                    template = _chat_template(part, source, notes)
        except NotFound as error:
            if len(paths) == 1:
                raise
            raise _missing(paths[0].name, one_line(path.name), len(paths)) from error
        parts.append(part)
        if sum(len(one.tensors) for one in parts) > MAX_TENSORS:
            raise _odd(parts[0], f"and its other parts have more than {MAX_TENSORS:,} tensors")
    _check_parts(parts)
    return GgufModel(
        files=tuple(paths),
        parts=tuple(parts),
        metadata=parts[0].metadata,
        tensors=tuple(tensor for part in parts for tensor in part.tensors),
        size_bytes=sum(part.size_bytes for part in parts),
        chat_template=template,
        notes=tuple(notes),
    )


def _chat_template(part: GgufFile, source: ByteSource, notes: list[str]) -> str | None:
    value = part.metadata.get(_CHAT_TEMPLATE)
    if isinstance(value, TextRef) and value.length > LARGEST_TEMPLATE:
        notes.append(f"its chat template was not read: {template_too_long(value.length)}")
        return None
    if isinstance(value, (str, TextRef)):
        return part.read_text(source, _CHAT_TEMPLATE) or None
    return None


def _check_parts(parts: Sequence[GgufFile]) -> None:
    first = parts[0]
    count = first.metadata.get("split.count", 1 if len(parts) == 1 else None)
    # 0 and 1 are both written by tools for a file that is not split.
    if count != len(parts) and not (count == 0 and len(parts) == 1):
        raise _odd(first, f"says that the model has {_number(count)} parts, not {len(parts)}")
    if len(parts) > 1:
        for index, part in enumerate(parts):
            if part.metadata.get("split.no") != index:
                number = _number(part.metadata.get("split.no"), 1)
                raise _odd(part, f"says that it is part {number}, not {index + 1}")
            if part.metadata.get("split.count") != len(parts):
                raise _odd(part, f"does not say that the model has {len(parts)} parts")
    total = sum(len(part.tensors) for part in parts)
    expected = first.metadata.get("split.tensors.count", total)
    if expected != total:
        raise _odd(first, f"promises {_number(expected)} tensors, and the parts hold {total}")
    seen: set[str] = set()
    for part in parts:
        for tensor in part.tensors:
            if tensor.name in seen:
                raise _odd(part, f"repeats the tensor {one_line(tensor.name, 80)}")
            seen.add(tensor.name)


def _number(value: Value | None, plus: int = 0) -> str:
    return f"{value + plus:,}" if isinstance(value, int) else "an unknown number of"


def _odd(part: GgufFile, problem: str) -> IntegrityError:
    return IntegrityError(
        f"{one_line(part.name)} {problem}",
        "Keep all parts of a model in one folder under the names they were published with.",
    )


def _missing(name: str, named: str, count: int) -> IntegrityError:
    return IntegrityError(
        f"{one_line(name)} is one of {plural(count, 'part')}, and missing are: {named}",
        _MISSING_HINT,
    )
