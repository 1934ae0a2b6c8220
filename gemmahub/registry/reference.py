"""The grammar of model references. Pure: nothing here looks at a disk or a catalogue.

===================  =============================================================================
catalogue            ``gemma-3-4b-it``, ``gemma-3-4b-it:q4_0-qat``
Hugging Face         ``user/repo``, ``user/repo:Q4_K_M``, ``hf.co/user/repo:Q4_0``,
                     ``hf://user/repo/file.gguf``, each with ``@revision``
another source       ``SCHEME://REST``, such as ``ollama://gemma3:4b``; what the rest means, the
                     source says
a server             ``SERVER://NAME``: a model that it offers
label for a file     ``user/repo@q4_k_m``: no branch is called so
preset               ``@NAME``: the model that a preset names (:func:`preset_in`)
file or folder       ``./model.gguf``, ``/models/x.gguf``, ``file:///models/x.gguf``
===================  =============================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from gemmahub.errors import UsageError
from gemmahub.hub.reference import PART, HuggingFaceReference, hub_reference, names_the_hub
from gemmahub.text import one_line


@dataclass(frozen=True, slots=True)
class NameReference:
    """A bare name: of the catalogue, or what a source means by it where that has none."""

    name: str
    variant: str | None = None

    def __str__(self) -> str:
        return self.name if self.variant is None else f"{self.name}:{self.variant}"


@dataclass(frozen=True, slots=True)
class SourceReference:
    """A model of the source that answers for ``scheme``; only the source knows ``rest``."""

    scheme: str
    rest: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.rest}"


@dataclass(frozen=True, slots=True)
class PathReference:
    """A file or folder on this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


Reference = NameReference | HuggingFaceReference | SourceReference | PathReference

_HINT: Final = (
    "name a catalogue model (gemma-3-4b-it), a repository (user/repo:Q4_0), "
    "an Ollama tag (ollama://gemma3:4b) or a file (./model.gguf)"
)
_MODEL_FILE: Final = re.compile(r"\.(gguf|safetensors)$", re.IGNORECASE)
_NAME: Final = re.compile(rf"(?P<name>{PART})(?::(?P<variant>[\w.-]+))?")
_PRESET: Final = re.compile(r"@([\w-]+)")  # no dot and no slash, as files and repositories have
_OF_A_DRIVE: Final = re.compile(r"^/([A-Za-z]:/)")  # file:///C:/models (RFC 8089, E.2)
_SCHEME: Final = re.compile(r"(?!https?$)[a-z][a-z0-9+.-]*")


def preset_in(text: str) -> str | None:
    """The name of the preset that a text means, None for all else. A file that is called so is
    named ``./@NAME``."""
    match = _PRESET.fullmatch(text.strip())
    return match[1] if match else None


def parse_reference(text: str) -> Reference:
    """What a reference names.

    Raises: UsageError when it has none of the forms above.
    """
    text = text.strip()
    if not text:
        raise UsageError("the model reference is empty", _HINT)
    if _is_path(text):
        return PathReference(Path(text).expanduser())
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "file":
        path = unquote(urlsplit(text).path)
        return PathReference(Path(_OF_A_DRIVE.sub(r"\1", path)))
    by_name = not names_the_hub(text)
    if separator and by_name:
        return _of_a_source(scheme, rest, text)
    if by_name and _MODEL_FILE.search(text):
        return PathReference(Path(text))
    if by_name and (match := _NAME.fullmatch(text)):
        return NameReference(match["name"], match["variant"])
    if (found := hub_reference(text)) is None:
        raise _not_a_reference(text)
    return found


def _is_path(text: str) -> bool:
    return (
        text in (".", "..", "~")
        or text.startswith(("/", "./", "../", "~/", ".\\", "..\\", "~\\", "\\\\"))
        or re.match(r"[A-Za-z]:[\\/]", text) is not None
    )


def _of_a_source(scheme: str, rest: str, text: str) -> SourceReference:
    if not _SCHEME.fullmatch(scheme):
        raise unknown_scheme(text)
    if not rest or not rest.isprintable() or " " in rest:
        raise _not_a_reference(text)
    return SourceReference(scheme, rest)


def unknown_scheme(text: str) -> UsageError:
    """The failure of a reference that no source answers for."""
    scheme = text.partition("://")[0]
    return UsageError(f"{one_line(text)!r} has an unknown scheme {one_line(scheme)!r}", _HINT)


def _not_a_reference(text: str) -> UsageError:
    return UsageError(f"{one_line(text)!r} is not a model reference", _HINT)
