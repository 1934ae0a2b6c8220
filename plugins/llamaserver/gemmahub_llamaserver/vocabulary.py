"""The tokenizer of a server, as prompts need it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GenerationFailed
from gemmahub.http.values import count_of, object_of, text_of
from gemmahub_llamaserver.servers import ask

if TYPE_CHECKING:
    from gemmahub.http.client import WebClient

_REMEMBERED: Final = 1024  # messages of a conversation, which are asked about in each turn


class ServerVocabulary:
    """Tokens as the server makes them; see :class:`gemmahub.engines.prompt_tokens.Vocabulary`.

    ``chat_template`` is the file's: the server's own is another one where the file has none.
    """

    def __init__(self, web: WebClient, props: dict[str, Any], chat_template: str | None) -> None:
        self.bos = text_of(props.get("bos_token"))
        self.eos = text_of(props.get("eos_token"))
        self.chat_template = chat_template
        self._web = web
        self._written_out = lru_cache(_REMEMBERED)(self._control_texts)

    def tokenize(self, text: str, *, special: bool, start: bool) -> list[int]:
        """The token ids of a text."""
        found = [count_of(token) for token in self._ask(text, special, start=start)]
        tokens = [token for token in found if token is not None]
        if len(tokens) < len(found) or (text and not tokens):
            raise GenerationFailed("the server sent invalid tokens", "load the model again")
        return tokens

    def control_texts(self, text: str) -> set[str]:
        """The control tokens that are written out in a text."""
        return set(self._written_out(text))

    def _control_texts(self, text: str) -> frozenset[str]:
        """Those pieces that are other tokens where control tokens do not count."""
        plain = set(self._pieces(text, special=False))
        found = {piece for _, piece in set(self._pieces(text, special=True)) - plain if piece}
        return frozenset(
            piece
            for piece in found
            if self._pieces(piece, special=True) != self._pieces(piece, special=False)
        )

    def _pieces(self, text: str, *, special: bool) -> list[tuple[int | None, str]]:
        tokens = map(object_of, self._ask(text, special, with_pieces=True))
        return [(count_of(each.get("id")), text_of(each.get("piece"))) for each in tokens]

    def _ask(
        self, text: str, special: bool, *, start: bool = False, with_pieces: bool = False
    ) -> list[Any]:
        body = {
            "content": text.encode("utf-8", "replace").decode(),  # no halves of characters
            "parse_special": special,
            "add_special": start,
            "with_pieces": with_pieces,
        }
        found = ask(self._web, "/tokenize", body).get("tokens")
        return found if isinstance(found, list) else []


class TextVocabulary:
    """Texts in place of tokens: what has images is sent as text, and the server makes the tokens.

    There control tokens count wherever they stand, so a message may not spell one out.
    """

    def __init__(self, model: ServerVocabulary) -> None:
        self.bos, self.eos, self.chat_template = model.bos, model.eos, model.chat_template
        self._model = model

    def control_texts(self, text: str) -> set[str]:
        """None: messages with some are refused. Raises: GenerationFailed."""
        if found := self._model.control_texts(text):
            raise GenerationFailed(
                f"a message with an image cannot contain {', '.join(sorted(found))}: the "
                "server would read it as a control token",
                "remove it from the message",
            )
        return set()

    def tokenize(self, text: str, *, special: bool, start: bool) -> list[Any]:
        """The text itself, without the first token, which the server adds."""
        if not special:
            self.control_texts(text)
        return [text.removeprefix(self.bos) if special and self.bos else text]
