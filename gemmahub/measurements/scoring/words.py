"""The vocabulary of a model's files: divergences of models with different ones mean nothing."""

from __future__ import annotations

import json
import re
from struct import Struct
from typing import TYPE_CHECKING, Final

from gemmahub.errors import GemmahubError
from gemmahub.formats.detect import open_model
from gemmahub.formats.gguf_values import ArrayRef

if TYPE_CHECKING:
    from pathlib import Path

_KEY: Final = "tokenizer.ggml.tokens"
_SPACE: Final = "\u2581".encode()
_LENGTH: Final = Struct("<Q")
_LARGEST: Final = 64_000_000
_PADDING: Final = re.compile(rb"[<\[].*[>\]]")  # files of one model pad it to different lengths


def words_of(path: Path) -> tuple[bytes, ...]:
    """The tokens in the order of their numbers; () where the files do not say them."""
    try:
        folder = path if path.is_dir() else path.parent
        if path.is_dir() or path.suffix == ".safetensors":
            return _of_folder(folder / "tokenizer.json")
        held = open_model(path).metadata.get(_KEY)
        if isinstance(held, ArrayRef) and held.item_type == "string":
            return _of_gguf(path, held)
        if isinstance(held, tuple):
            return tuple(str(word).encode("utf-8", "surrogatepass") for word in held)
    except (GemmahubError, OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return ()


def same_words(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> bool:
    """Whether all numbers of tokens mean the same, as far as it is known."""
    if not one or not other:
        return True
    short, long = sorted((_spaced(one), _spaced(other)), key=len)
    padding = long[len(short) :]
    return long[: len(short)] == short and all(map(_PADDING.fullmatch, padding))


def _spaced(words: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """With plain spaces: folders write those of all words as SentencePiece does, GGUF files not
    those of words that are spaces only (ggml-org/llama.cpp ``convert_hf_to_gguf.py``, which decodes
    words that a tokenizer does not normalize)."""
    return tuple(word.replace(_SPACE, b" ") for word in words)


def _of_gguf(path: Path, held: ArrayRef) -> tuple[bytes, ...]:
    found = []
    with path.open("rb") as file:
        file.seek(held.offset)
        data = file.read(_LARGEST)
    place = 0
    for _ in range(held.length):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if place + length > len(data):
            return ()
        found.append(data[place : place + length])
        place += length
    return tuple(found)


def _of_folder(path: Path) -> tuple[bytes, ...]:
    if path.stat().st_size > _LARGEST:
        return ()
    held = json.loads(path.read_bytes())
    numbers = {int(number): word for word, number in held["model"]["vocab"].items()}
    numbers |= {int(added["id"]): added["content"] for added in held.get("added_tokens", ())}
    if sorted(numbers) != list(range(len(numbers))):
        return ()
    return tuple(numbers[n].encode("utf-8", "surrogatepass") for n in range(len(numbers)))
