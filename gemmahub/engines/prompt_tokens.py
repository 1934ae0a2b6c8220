"""From a prompt to tokens: chat template, control tokens, and what a user may not inject."""

from __future__ import annotations

import re
import secrets
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from gemmahub.engines.chat_template import HINT, ChatTemplate
from gemmahub.engines.template_process import TemplateRenderer
from gemmahub.engines.tool_calls import QUOTE, texts_in
from gemmahub.errors import GenerationFailed, TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Message, Prompt, Sampling


class Vocabulary(Protocol):
    """What a prompt needs of a model.

    ``bos`` and ``eos`` are the texts of those tokens, empty where there is none; ``chat_template``
    is None for a model without one.
    """

    @property
    def bos(self) -> str: ...

    @property
    def eos(self) -> str: ...

    @property
    def chat_template(self) -> str | None: ...

    def tokenize(self, text: str, *, special: bool, start: bool) -> list[int]:
        """The token ids of a text.

        ``special``: control tokens written out in the text count as control tokens. ``start``: the
        begin-of-sequence token is put in front where the model wants it.
        """
        ...

    def control_texts(self, text: str) -> set[str]:
        """The control tokens that are written out in a text."""
        ...


class ImageReader(Protocol):
    """What an engine makes of an image.

    ``before`` and ``after`` are the texts that the model was trained to see around it; they are
    tokenised together with the text that they touch.
    """

    @property
    def before(self) -> str: ...

    @property
    def after(self) -> str: ...

    def read(self, path: Path) -> Sequence[Any]:
        """What stands for the image among the tokens: one item for each position that it takes.

        Raises: GenerationFailed.
        """
        ...


def encode(
    model: Vocabulary, prompt: Prompt, renderer: TemplateRenderer | None = None
) -> list[int]:
    """The tokens of a prompt, with one begin-of-sequence token where the model wants one.

    A text is completed as it stands: who writes it may write control tokens, too. In a conversation
    only the template may; a ``<end_of_turn>`` in a message stays plain text. ``renderer`` is the
    process that renders the template, as a session keeps one; without it, one is started for this
    call.

    Raises: TemplateError, GenerationFailed when there is nothing to complete; Cancelled when the
    renderer was told to stop.
    """
    if renderer is not None:
        _check_template(model, prompt, renderer.asked)
    if isinstance(prompt, str):
        return _not_empty(_tokenize(model, prompt))
    _check(prompt)
    if any(message.images for message in prompt):
        raise GenerationFailed(
            "this backend reads no images yet", "leave out the images, or use another backend"
        )
    return _not_empty(_conversation(model, prompt, renderer))


def encode_with_images(
    model: Vocabulary,
    prompt: Prompt,
    reader: ImageReader,
    renderer: TemplateRenderer | None = None,
) -> list[Any]:
    """As :func:`encode`, with what the reader makes of images before the text of their turns.

    Raises: as :func:`encode`, and what the reader raises.
    """
    if isinstance(prompt, str) or not any(message.images for message in prompt):
        return encode(model, prompt, renderer)
    read: dict[str, Sequence[Any]] = {}
    messages = []
    for message in prompt:
        marks = {f"i{secrets.token_hex(12)}i": reader.read(path) for path in message.images}
        read |= marks
        messages.append(replace(message, content="".join(marks) + message.content, images=()))
    return _not_empty(_conversation(_WithImages(model, reader, read), messages, renderer))


class _WithImages:
    """A vocabulary in which the marks of images become what was read of them."""

    def __init__(
        self, model: Vocabulary, reader: ImageReader, read: Mapping[str, Sequence[Any]]
    ) -> None:
        self.bos, self.eos, self.chat_template = model.bos, model.eos, model.chat_template
        self.control_texts = model.control_texts
        self._model = model
        self._reader = reader
        self._read = read
        self._marks = re.compile(f"({'|'.join(read)})")

    def tokenize(self, text: str, *, special: bool, start: bool) -> list[Any]:
        """As of the model itself, with images."""
        plain, *rest = self._marks.split(text)
        found: list[Sequence[Any]] = []
        for mark, after in zip(rest[::2], rest[1::2], strict=True):
            plain += self._reader.before
            # An empty text still gets the token that begins a sequence.
            found.append(self._tokenize(plain, special=special, start=start and not found))
            found.append(self._read[mark])
            plain = self._reader.after + after
        found.append(self._tokenize(plain, special=special, start=start and not found))
        return list(chain.from_iterable(found))

    def _tokenize(self, text: str, *, special: bool, start: bool) -> list[int]:
        return self._model.tokenize(text, special=special, start=start) if text or start else []


def _not_empty(tokens: list[Any]) -> list[Any]:
    if not tokens:
        raise GenerationFailed("the prompt is empty", "write something for the model to answer")
    return tokens


def _check_template(model: Vocabulary, prompt: Prompt, asked: Sampling) -> None:
    """Raises: GenerationFailed where nothing can tell the model to think, or of tools."""
    plain = isinstance(prompt, str) or model.chat_template is None
    if asked.thinking and plain:
        raise GenerationFailed(
            "thinking needs a chat template, and none is used",
            "leave out --think, or use a chat model that thinks, such as Gemma 4",
        )
    if asked.tools and plain:
        raise GenerationFailed(
            "tools need a chat template, and none is used",
            "leave out the tools, or use a chat model with tools, such as Gemma 4",
        )
    if asked.tools:
        told = [(tool.description, dict(tool.parameters)) for tool in asked.tools]
        if found := _spelt_out(model, told):
            raise GenerationFailed(
                f"the tool descriptions contain {', '.join(sorted(found))}, a control "
                "token of the model",
                "remove it from the descriptions",
            )


def _check(messages: Sequence[Message]) -> None:
    if not messages:
        raise GenerationFailed("the conversation is empty", "write a message")


def _tokenize(model: Vocabulary, text: str) -> list[int]:
    """Template and raw text: control tokens count, and a written-out first token is not doubled."""
    written_out = bool(model.bos) and text.startswith(model.bos)
    return model.tokenize(text, special=True, start=not written_out)


def _conversation(
    model: Vocabulary, messages: Sequence[Message], renderer: TemplateRenderer | None
) -> list[int]:
    if model.chat_template is None:
        text = "\n\n".join(message.content for message in messages)
        return model.tokenize(text, special=False, start=True)
    with nullcontext(renderer) if renderer is not None else TemplateRenderer() as process:
        template = ChatTemplate(process, model.chat_template, model.bos, model.eos)
        messages = [_without_controls(model, message) for message in messages]
        if any(message.tool_calls for message in messages):
            messages = [_plain_result(message) for message in messages]
        text = template.render(messages)
        if not any(model.control_texts(message.content) for message in messages):
            return _tokenize(model, text)
        return _tokenize_apart(model, template, messages, text)


def _without_controls(model: Vocabulary, message: Message) -> Message:
    """The message without a thought or the arguments of a call that spell out a control token."""
    if message.reasoning and model.control_texts(message.reasoning):
        message = replace(message, reasoning="")
    calls = tuple(
        replace(call, arguments="{}") if _spelt_out(model, call.values()) else call
        for call in message.tool_calls
    )
    return replace(message, tool_calls=calls) if calls else message


def _spelt_out(model: Vocabulary, value: Any) -> set[str]:
    """The control tokens in the texts of a value, with the one that ends a text."""
    text = "\n".join(texts_in(value))
    return model.control_texts(text) | ({QUOTE} if QUOTE in text else set())


def _plain_result(message: Message) -> Message:
    """The result of a tool, which cannot end the text that a template writes it into."""
    if message.role != "tool":
        return message
    return replace(message, content=message.content.replace(QUOTE, '"'))


def _tokenize_apart(
    model: Vocabulary, template: ChatTemplate, messages: Sequence[Message], text: str
) -> list[int]:
    """The tokens of a conversation in which a message spells out a control token.

    Control tokens are looked for in the template's own text only. What stands between two of them
    is tokenised in one go, because words may reach across the border between
    template and message.
    """
    parts = _own_text(template, messages, text)
    if parts is None:
        raise TemplateError(
            "a message contains a control token of the model, and this chat template changes "
            "messages so that their limits cannot be found",
            f"remove the control token from the message, or {HINT}",
        )
    tokens = [] if model.bos and text.startswith(model.bos) else _tokenize(model, "")
    plain = ""
    for own, part in parts:
        controls = sorted(model.control_texts(part), key=len, reverse=True) if own else []
        pattern = "|".join(map(re.escape, controls))
        for piece in re.split(f"({pattern})", part) if controls else [part]:
            if piece not in controls:
                plain += piece
                continue
            tokens += model.tokenize(plain, special=False, start=False) if plain else []
            tokens += model.tokenize(piece, special=True, start=False)
            plain = ""
    return tokens + (model.tokenize(plain, special=False, start=False) if plain else [])


def _own_text(
    template: ChatTemplate, messages: Sequence[Message], text: str
) -> list[tuple[bool, str]] | None:
    """The text cut into (is it the template's own?, text); None when that cannot be told.

    Found by rendering the same conversation with a random word in place of each message. The cut
    holds only if the parts make up the very text again; messages may lose white space at the ends.
    """
    words = [f"m{secrets.token_hex(12)}m" for _ in messages]
    marked = template.render(
        [replace(message, content=word) for message, word in zip(messages, words, strict=True)]
    )
    contents = dict(zip(words, (message.content for message in messages), strict=True))
    parts: list[tuple[bool, str]] = []
    rest = text
    for piece in re.split(f"({'|'.join(words)})", marked):
        content = contents.get(piece)
        candidates = (piece,) if content is None else (content, content.strip())
        found = next((part for part in candidates if rest.startswith(part)), None)
        if found is None:
            return None
        parts.append((content is None, found))
        rest = rest[len(found) :]
    return None if rest else parts
