"""Ollama's Modelfile as a preset: what of it is taken over, and what is not.

The grammar is that of https://docs.ollama.com/modelfile: an instruction a line, its name in any
case, texts in double or triple quotes, ``#`` begins a comment. ``FROM``, ``SYSTEM`` and the
parameters that ``gemmahub run`` has are taken over; templates, messages and adapters are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import FormatError, UsageError
from gemmahub.registry.reference import NameReference, parse_reference
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INSTRUCTION: Final = re.compile(r"[ \t]*([A-Za-z]+)[ \t]+")
_KNOWN: Final = ("from", "system", "parameter", "template", "adapter", "license", "message",
                 "renderer", "parser", "requires")  # fmt: skip
_BLOCK: Final = '"""'
_NUMBERS: Final[dict[str, tuple[str, Callable[[str], int | float]]]] = {
    "num_ctx": ("context", int),
    "temperature": ("temperature", float),
    "top_k": ("top_k", int),
    "top_p": ("top_p", float),
    "min_p": ("min_p", float),
    "seed": ("seed", int),
    "num_predict": ("max_tokens", int),
    "num_gpu": ("gpu_layers", int),
    "num_thread": ("threads", int),
}
"""Parameters with the field of a preset that means the same."""
_WHY: Final = {
    "template": "TEMPLATE: the template of the model's file is used",
    "message": "MESSAGE: a preset holds no conversation",
    "adapter": "ADAPTER: give it with --adapter",
    "license": "LICENSE: inspect names the model's",
    "renderer": "RENDERER: of Ollama's own engine",
    "parser": "PARSER: of Ollama's own engine",
    "requires": "REQUIRES: a version of Ollama",
}


@dataclass(frozen=True, slots=True)
class ReadModelfile:
    """Values of a preset, and what of the file was left out."""

    values: dict[str, Any]
    left_out: tuple[str, ...]


def looks_like_modelfile(text: str) -> bool:
    """Whether the first instruction of a text is one of a Modelfile."""
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            match = _INSTRUCTION.match(line)
            return bool(match) and match[1].casefold() in _KNOWN if match else False
    return False


def read_modelfile(text: str, name: str) -> ReadModelfile:
    """The preset that a Modelfile says. Raises: FormatError, with the line."""
    values: dict[str, Any] = {}
    left: dict[str, None] = {}
    for instruction, argument in _instructions(text, name):
        if instruction == "from":
            values["model"] = _model(argument)
        elif instruction == "system":
            values["system"] = argument
        elif instruction == "parameter":
            if reason := _parameter(argument, values):
                left[reason] = None
        else:
            left[_WHY[instruction]] = None
    return ReadModelfile(values, tuple(left))


def _parameter(argument: str, values: dict[str, Any]) -> str:
    """Take over one parameter; else why it is left out."""
    name, _, text = argument.partition(" ")
    name, text = name.casefold(), _unquoted(text.strip())
    if name == "stop":
        values.setdefault("stop", []).append(text)
        return ""
    if name not in _NUMBERS:
        return f"PARAMETER {one_line(name, 40)}: gemmahub has no such setting"
    field, kind = _NUMBERS[name]
    try:
        value = kind(text)
    except ValueError:
        return f"PARAMETER {name}: {one_line(text, 40)!r} is not a number"
    if field in ("max_tokens", "gpu_layers", "seed") and value < 0:
        return f"PARAMETER {name} {value}: what gemmahub does by itself"
    values[field] = value
    return ""


def _model(argument: str) -> str:
    """The reference of what ``FROM`` names: a tag of Ollama's, a file, or a repository."""
    try:
        reference = parse_reference(argument)
    except UsageError:  # told when the preset is checked
        return argument
    # Ollama's names without a scheme are tags of its registry.
    return f"ollama://{argument}" if isinstance(reference, NameReference) else argument


def _instructions(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Instructions in small letters, each with its argument. Raises: FormatError."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _INSTRUCTION.match(line + " ")
        if match is None or match[1].casefold() not in _KNOWN:
            place = f"{one_line(name, 100)}, line {number}"
            what = f"{place}: {one_line(line, 60)!r} is not an instruction"
            raise FormatError(what, "FROM, SYSTEM, PARAMETER, TEMPLATE and others begin a line")
        instruction, argument = match[1].casefold(), line[match.end() :].strip()
        before, mark, rest = argument.partition(_BLOCK)
        if mark and (not before.strip() or instruction == "message"):
            begun = number
            while _BLOCK not in rest:
                if number >= len(lines):
                    raise FormatError(
                        f"{one_line(name, 100)}, line {begun}: the text in {_BLOCK} has no end",
                        "correct the file",
                    )
                rest += "\n" + lines[number]
                number += 1
            yield instruction, rest.partition(_BLOCK)[0].strip("\n")
        else:
            yield instruction, argument if instruction == "parameter" else _unquoted(argument)


def _unquoted(text: str) -> str:
    whole = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if whole else text
