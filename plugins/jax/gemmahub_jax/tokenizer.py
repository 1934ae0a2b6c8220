"""The tokenizer of a checkpoint: a SentencePiece model beside it, read from this disk only.

The library's own tokenizers fetch their file from Google's storage and match control tokens
wherever they are written; here a message cannot write any.
"""

from __future__ import annotations

import functools
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GemmahubError, LoadFailed
from gemmahub.formats.folder import chat_template
from gemmahub.text import one_line
from gemmahub_jax.families import TEMPLATE, TOKENIZER_FILES

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 64 << 20
_TURN_ENDS: Final = ("<eos>", "<end_of_turn>")
# Control tokens that the model knows as texts of their own; tags of HTML are such texts, too.
_CONTROL: Final = re.compile(
    r"<(start|end)_of_\w+>|<unused\d+>|<mask>|\[multimodal\]|<2mass>|\[@BOS@\]"
)
_SPACE: Final = "\u2581"  # SentencePiece writes spaces so
_HINT: Final = (
    "put the tokenizer.model of the same download beside the checkpoint, or name it with "
    "--option tokenizer=FILE"
)


def find_tokenizer(folder: Path, named: str | None) -> Path:
    """The file: the one that is named, else beside the arrays or in the folder above.

    Raises: LoadFailed.
    """
    from pathlib import Path as Named

    if named:
        path = Named(named).expanduser()
        if path.is_file():
            return path
        raise LoadFailed(f"there is no tokenizer {one_line(named, 200)}", _HINT)
    for place in (folder, folder.parent):
        for name in TOKENIZER_FILES:
            if (place / name).is_file():
                return place / name
    raise LoadFailed(f"the checkpoint {one_line(folder.name, 120)} has no tokenizer.model", _HINT)


class PieceTokenizer:
    """Words of a model: text to tokens, tokens to bytes, and which of them control the model."""

    def __init__(self, path: Path, folder: Path) -> None:
        """Raises: LoadFailed when the file is no SentencePiece model."""
        self._library: Any = _loaded(path)
        self.words = int(self._library.get_piece_size())
        self._controls = dict(self._found_controls())
        self._numbers = {text: number for number, text in self._controls.items()}
        self.bos = self._text_of(self._library.bos_id())
        self.eos = self._text_of(self._library.eos_id())
        own: str | None = None
        with suppress(GemmahubError):
            own = chat_template(folder)
        self.chat_template: str | None = own or (
            TEMPLATE if {"<start_of_turn>", "<end_of_turn>"} <= set(self._numbers) else None
        )
        self.ends = frozenset(
            self._numbers[name] for name in (self.eos, *_TURN_ENDS) if name in self._numbers
        )
        texts = sorted(filter(None, self._numbers), key=len, reverse=True)
        self._written = re.compile("(" + "|".join(map(re.escape, texts)) + ")") if texts else None

    def tokenize(self, text: str, *, special: bool, start: bool) -> list[int]:
        """As in :class:`gemmahub.engines.prompt_tokens.Vocabulary`."""
        bos = self._library.bos_id()
        found: list[int] = [bos] if start and bos >= 0 else []
        # Lone surrogates, which a terminal can deliver, are no text that the library takes.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        for part in self._written.split(clean) if self._written else [clean]:
            if part not in self._numbers:
                found += self._library.encode(part)
            elif special:
                found.append(self._numbers[part])
            else:  # cut in two it is no control token
                found += self._library.encode(part[:1]) + self._library.encode(part[1:])
        return found

    def control_texts(self, text: str) -> set[str]:
        """The control tokens that are written out in a text."""
        return {name for name in self._numbers if name and name in text}

    def is_end(self, token: int) -> bool:
        """Whether the model ends its turn with this token."""
        return token in self.ends

    @functools.lru_cache(maxsize=8192)  # noqa: B019 - a tokenizer lives as long as its process
    def piece(self, token: int) -> bytes:
        """What the token adds to the text, maybe a part of a character; b"" for control tokens."""
        if token in self._controls or not 0 <= token < self.words:
            return b""
        text: str = self._library.id_to_piece(token)
        if self._library.is_byte(token):
            return bytes([int(text[3:5], 16)])
        return text.replace(_SPACE, " ").encode("utf-8", "replace")

    def _found_controls(self) -> list[tuple[int, str]]:
        library = self._library
        found = []
        for number in range(self.words):
            text = library.id_to_piece(number)
            if library.is_control(number) or library.is_unknown(number) or _CONTROL.fullmatch(text):
                found.append((number, text))
        return found

    def _text_of(self, number: int) -> str:
        return self._controls.get(number, "")


def _loaded(path: Path) -> Any:
    """The SentencePiece model of a file. Raises: LoadFailed."""
    from sentencepiece import SentencePieceProcessor

    found, said = SentencePieceProcessor(), "it is too large"
    try:
        if path.stat().st_size <= LARGEST:
            found.LoadFromSerializedProto(path.read_bytes())
            return found
    except (OSError, RuntimeError) as error:
        said = one_line(str(error), 200)
    raise LoadFailed(
        f"{one_line(path.name, 80)} is not a tokenizer: {said}", "fetch the file again"
    )
