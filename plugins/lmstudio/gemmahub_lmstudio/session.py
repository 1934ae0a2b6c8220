"""A model that LM Studio has loaded, and one talks to.

``/v1/chat/completions`` and not ``/api/v1/chat``: the latter takes no assistant's turns and no
tools (https://lmstudio.ai/docs/api/rest-api, the table of endpoints).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Chunk, FinishReason, Usage
from gemmahub.errors import BackendError, ContextExceeded, GenerationFailed
from gemmahub_lmstudio.place import in_words
from gemmahub_openai.session import RemoteSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub.engines.contract import Prompt, Sampling

_LARGER: Final = "shorten the conversation, or load the model with a larger --ctx-size"
_KEPT: Final = re.compile(r"(?:n_keep[: (]+|[Tt]rying to keep the first )(\d{1,9})")
"""The tokens of a prompt in LM Studio's words for one that does not fit."""


class StudioSession(RemoteSession):
    """One instance of a model in LM Studio; see :class:`RemoteSession`.

    ``thoughts`` is what LM Studio states of the model's thoughts: what can be chosen (``off``,
    ``on``; nothing for a model that does not think), and the default.
    """

    thoughts: tuple[tuple[str, ...], str] = ((), "")

    def request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict[str, Any]]:
        """As OpenAI's API has it. An answer has at most as many tokens as the context: LM Studio
        would go on for ever where it lets the context roll.

        Raises: GenerationFailed.
        """
        allowed, default = self.thoughts
        check_thinking(sampling.thinking, allowed, default)
        path, body = super().request(prompt, replace(sampling, thinking=None))
        if body.get("max_tokens") is None:
            body["max_tokens"] = self.info.context
        if not sampling.thinking and "off" in allowed and not isinstance(prompt, str):
            body["reasoning_effort"] = "none"
        return path, body

    def reading(
        self, prompt: Prompt, sampling: Sampling
    ) -> Callable[[Iterator[bytes]], Iterator[Chunk]]:
        """What reads one answer."""
        reads = super().reading(prompt, sampling)
        return lambda lines: self._watched(reads(lines))

    def _watched(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The chunks of an answer. A full context ends it; a prompt that did not fit is told.

        Raises: ContextExceeded, GenerationFailed.
        """
        empty = True
        try:
            for chunk in chunks:
                empty = empty and not chunk.text and chunk.tool_call is None
                yield chunk
        except ContextExceeded as error:
            if empty:
                raise ContextExceeded(error.message, _LARGER) from None
            # It says so in the middle of an answer: lmstudio-bug-tracker issues 1024, 1251.
            yield Chunk("", Usage(FinishReason.CONTEXT, context=self.info.context))
        except BackendError as error:
            raise in_words(error) from None

    def _too_long(self, asked: int | None) -> ContextExceeded:
        context = self.info.context
        holds = "is full" if context is None else f"holds {context:,} tokens"
        has = "is longer" if asked is None else f"has {asked:,}"
        return ContextExceeded(
            f"LM Studio's context {holds}, but the prompt {has}",
            _LARGER,
        )

    def refused(self, status: int, said: str) -> BackendError:
        """As LM Studio words it, with what to do."""
        error = super().refused(status, said)
        if isinstance(error, ContextExceeded):
            count = _KEPT.search(said)
            return self._too_long(int(count[1]) if count else None)
        return in_words(error)

    def broken(self, what: str) -> BackendError:
        """A server that failed in the middle of an answer, or is not there any more."""
        return in_words(super().broken(what))


def check_thinking(wanted: bool | int | None, allowed: tuple[str, ...], default: str) -> None:
    """Whether thoughts can be as they are wanted. LM Studio's own documents name no switch of this
    endpoint; ``reasoning_effort: none`` is what others found to switch them off.

    Raises: GenerationFailed.
    """
    if not wanted:
        return
    if not allowed:
        raise GenerationFailed(
            "LM Studio says that this model does not think",
            "leave out --think, or use a model that thinks",
        )
    if type(wanted) is int:
        raise GenerationFailed(
            "LM Studio cannot limit thinking", "use --think, or another engine with --backend"
        )
    if default != "on":
        raise GenerationFailed(
            "LM Studio has thinking switched off for this model",
            "switch it on in LM Studio for this model",
        )
