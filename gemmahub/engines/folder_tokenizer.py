"""The tokenizer of a model folder: ``tokenizer.json``, read by the tokenizers library alone.

Nothing of the folder is run: Transformers' own way may ask to run code that comes with a model. The
tokenizers library is what the plugins bring that use this; the core does not need it.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from gemmahub.engines.thoughts import MARKERS
from gemmahub.engines.tool_calls import CALL_MARKERS
from gemmahub.errors import GemmahubError, LoadFailed
from gemmahub.formats.folder import LARGEST_TEXT, chat_template
from gemmahub.formats.json_text import read_object
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

TOKENIZER: Final = "tokenizer.json"
# Gemma's turns end with one of these, also where a folder's settings name <eos> alone. After its
# calls the model opens a result and waits for it.
_TURN_ENDS: Final = ("<end_of_turn>", "<turn|>", "<|tool_response>")
_BYTE: Final = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE: Final = "\u2581"  # SentencePiece writes spaces so


class Tokenizer:
    """Words of a model: text to tokens, tokens to bytes, and which of them control the model.

    ``library`` is a tokenizer of the tokenizers library, ``settings`` what
    ``tokenizer_config.json`` says, ``ends`` the tokens that end an answer besides those that
    Gemma's turns end with.
    """

    def __init__(
        self,
        library: Any,
        settings: Mapping[str, Any],
        chat_template: str | None = None,
        ends: Iterable[int] = (),
    ) -> None:
        self._library = library
        self._library.no_padding()
        self._library.no_truncation()
        self.chat_template = chat_template
        self.bos = _token(settings.get("bos_token"))
        self.eos = _token(settings.get("eos_token"))
        added = self._library.get_added_tokens_decoder().items()
        self._controls = {number: token.content for number, token in added if token.special}
        numbers = {name: number for number, name in self._controls.items()}
        turn_ends = {numbers[name] for name in (self.eos, *_TURN_ENDS) if name in numbers}
        self._ends = {*ends} | turn_ends
        self._start = self._start_tokens(settings)
        self._byte_level = _is_byte_level(self._library)

    @property
    def words(self) -> int:
        """Words of the vocabulary."""
        return int(self._library.get_vocab_size())

    def tokenize(self, text: str, *, special: bool, start: bool) -> list[int]:
        """As in :class:`gemmahub.engines.prompt_tokens.Vocabulary`."""
        self._library.encode_special_tokens = not special
        # Lone surrogates, which a terminal can deliver, are no text that the library takes.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        found: list[int] = self._library.encode(clean, add_special_tokens=False).ids
        return [*self._start, *found] if start else found

    def control_texts(self, text: str) -> set[str]:
        """The control tokens that are written out in a text."""
        return {name for name in self._controls.values() if name and name in text}

    def is_end(self, token: int) -> bool:
        """Whether the model ends its turn with this token."""
        return token in self._ends

    @functools.lru_cache(maxsize=8192)  # noqa: B019 - a tokenizer lives as long as its process
    def piece(self, token: int, *, calls: bool = False) -> bytes:
        """What the token adds to the text, maybe a part of a character; b"" for control tokens but
        those that tell thoughts from the answer, and ``calls`` of tools."""
        if (control := self._controls.get(token)) is not None:
            shown = control in MARKERS or (calls and control in CALL_MARKERS)
            return control.encode() if shown else b""
        text: str = self._library.id_to_token(token) or ""
        if self._byte_level:
            letters = _byte_letters()
            if all(letter in letters for letter in text):
                return bytes(letters[letter] for letter in text)
        elif match := _BYTE.fullmatch(text):
            return bytes([int(match[1], 16)])
        return text.replace(_SPACE, " ").encode("utf-8", "replace")

    def _start_tokens(self, settings: Mapping[str, Any]) -> list[int]:
        """The begin-of-sequence token, where the tokenizer puts it in front of a text."""
        number = self._library.token_to_id(self.bos) if self.bos else None
        if number is None:
            return []
        wanted = self._library.encode("", add_special_tokens=True).ids[:1] == [number]
        return [number] if wanted or settings.get("add_bos_token") is True else []


def read_tokenizer(folder: Path, config: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a folder, whose ``config.json`` is ``config``.

    Raises: LoadFailed when the folder has no usable tokenizer.
    """
    from tokenizers import Tokenizer as Library

    path = folder / TOKENIZER
    if not path.is_file():
        raise LoadFailed(
            f"{one_line(folder.name, 120)} has no {TOKENIZER}",
            "download the whole folder: the file belongs beside the weights",
        )
    try:
        library: Any = Library.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises plain Exception
        raise LoadFailed(
            f"{TOKENIZER} cannot be read: {one_line(str(error), 200)}", "fetch the file again"
        ) from None
    settings = _object(folder / "tokenizer_config.json")
    ends = _ends_named(config, _object(folder / "generation_config.json"))
    return Tokenizer(library, settings, chat_template(folder), ends)


def _ends_named(*settings: Mapping[str, Any]) -> set[int]:
    """Ids that the settings of a folder, or their text parts, name as ends."""
    ends: set[int] = set()
    for said in settings:
        text = said.get("text_config")
        for part in (said, text if isinstance(text, dict) else {}):
            value = part.get("eos_token_id")
            ends.update(filter(_is_id, value if isinstance(value, list) else [value]))
    return ends


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_object(path, LARGEST_TEXT)
    except GemmahubError:
        return {}


def _token(value: Any) -> str:
    """A token of ``tokenizer_config.json``: its text, or an object with its text."""
    value = value.get("content") if isinstance(value, dict) else value
    return value if isinstance(value, str) else ""


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_byte_level(library: Any) -> bool:
    """Whether tokens are bytes written as letters (GPT-2), not SentencePiece's text."""
    decoder = json.loads(library.to_str()).get("decoder")
    return '"ByteLevel"' in json.dumps(decoder)


@functools.cache
def _byte_letters() -> Mapping[str, int]:
    """The letter that stands for each byte in a byte-level vocabulary.

    Source: openai/gpt-2 ``src/encoder.py`` (``bytes_to_unicode``).
    """
    plain = [*_between("!", "~"), *_between("\u00a1", "\u00ac"), *_between("\u00ae", "\u00ff")]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {chr(byte): byte for byte in plain}
    return letters | {chr(256 + place): byte for place, byte in enumerate(others)}


def _between(first: str, last: str) -> Iterable[int]:
    return range(ord(first), ord(last) + 1)
