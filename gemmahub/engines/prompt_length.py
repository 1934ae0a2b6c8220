"""Whether a prompt fits the context: by its text before tokens are made of it, then by those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.errors import ContextExceeded
from gemmahub.text import format_bytes

if TYPE_CHECKING:
    from gemmahub.engines.contract import Prompt, SessionInfo

LONGEST_TOKEN: Final = 64
"""Bytes that no token of text is longer than, spaces left out. The longest of Gemma 3's 262,144 has
48 (16 dashes or dots of three bytes each), read from the vocabulary in the file of Gemma 3 270M."""

_ROOM: Final = 256  # tokens for an answer, and the step in which a context is suggested


def check_text(prompt: Prompt, info: SessionInfo) -> None:
    """Whether a prompt could fit, in time that grows with its bytes alone: tokenizing 27 MB takes
    minutes.

    Raises: ContextExceeded for one that has more tokens than the context, however they are cut.
    """
    texts = [prompt] if isinstance(prompt, str) else [message.content for message in prompt]
    if info.context is None or sum(map(len, texts)) <= info.context:
        return  # it fits, or is near enough to be counted
    size = sum(len("".join(text.split()).encode("utf-8", "replace")) for text in texts)
    if (count := size // LONGEST_TOKEN) > info.context:
        raise too_long(info, f"more than {count:,} tokens ({format_bytes(size)})", count)


def check_count(count: int, info: SessionInfo) -> None:
    """Raises: ContextExceeded for ``count`` tokens of a prompt, where the context holds fewer."""
    if info.context is not None and count > info.context:
        raise too_long(info, f"{count:,} tokens", count)


def too_long(info: SessionInfo, said: str, count: int) -> ContextExceeded:
    """The error for a prompt of at least ``count`` tokens, of which ``said`` tells a person."""
    wanted = -(-(count + _ROOM) // _ROOM) * _ROOM
    trained = info.context_trained
    hint = f"shorten the prompt, or load the model with --ctx-size {wanted}"
    if trained is not None and wanted > trained:
        hint = f"shorten the prompt: the model was trained for {trained:,} tokens"
    return ContextExceeded(f"the prompt has {said}, but the context holds {info.context:,}", hint)
