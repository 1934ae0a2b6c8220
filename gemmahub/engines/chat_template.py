"""A model's own chat template, rendered as a stranger's program: in a process with limits.

The template comes with the file, so it may be broken, or written to do harm. Jinja's sandbox keeps
it from Python; the system keeps the process from running or growing without end
(``template_worker``).
"""

from __future__ import annotations

import json
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines import template_process as limits
from gemmahub.engines.contract import Message
from gemmahub.engines.tool_calls import CALL_OPENS
from gemmahub.errors import TemplateError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import Sampling, Tool
    from gemmahub.engines.template_process import TemplateRenderer

_THINKING: Final = "enable_thinking"
_TOOLS: Final = "tools"
_RESULTS: Final = "tool_responses"
_LATER: Final = "{#- OpenAI Chat Completions:"
"""In Gemma 4's later templates, which take turns of the role ``tool``. Earlier ones know results
only as a part of the turn with the calls. llama.cpp tells them apart by the same words
(``common/chat.cpp``, ``convert_tool_responses_gemma4``)."""
_NO_TOOLS: Final = "leave out the tools, or use a model with tools, such as Gemma 4"
HINT: Final = "use --raw to complete the text without a chat template"
MAX_CHARACTERS: Final = 1 << 20
"""Of a template, and of what it writes beyond four times the messages."""

# A character is up to 4 bytes, and Jinja holds a text about four times while it writes it.
_BYTES_PER_CHARACTER: Final = 32
_BYTES_PER_WRITTEN: Final = 6  # of a character in an answer: \u0000


class ChatTemplate:
    """A chat template for one conversation, all renderings of which share a limit in time.

    ``bos`` and ``eos`` are the texts of those tokens, which templates write out.
    """

    def __init__(
        self, renderer: TemplateRenderer, source: str, bos: str = "", eos: str = ""
    ) -> None:
        """Raises: TemplateError when the template is longer than any real one, or cannot ask the
        model for what is wanted."""
        if len(source) + len(bos) + len(eos) > MAX_CHARACTERS:
            raise TemplateError(
                f"the chat template has more than {MAX_CHARACTERS:,} characters", HINT
            )
        self._renderer = renderer
        self._source = source
        self._variables = _variables(source, renderer.asked)
        self._joins_results = CALL_OPENS in source and _RESULTS in source and _LATER not in source
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._end: float | None = None

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation as the model wants it, up to where the model's turn begins.

        A template that refuses a system message gets it as the beginning of the first user turn.

        Raises: TemplateError; Cancelled when the renderer was told to stop.
        """
        kind, text = self._render(messages)
        if kind == "refused":
            folded = fold_system(messages)
            if folded != list(messages):
                kind, text = self._render(folded)
        if kind == "text":
            return text
        failure = _FAILURES.get(kind, _FAILURES["failed"])
        raise TemplateError(failure.format(one_line(text, 300)), HINT)

    def _render(self, messages: Sequence[Message]) -> tuple[str, str]:
        given = len(json.dumps(self._variables)) if self._variables else 0
        size = sum(map(_size, messages)) + 2 * given
        longest = MAX_CHARACTERS + 4 * size
        turns = list(map(_turn, messages))
        if self._joins_results:
            turns = _with_results(turns)
        fresh = self._end is None
        self._end = self._end or monotonic() + limits.WALL_SECONDS
        request = {
            "source": self._source,
            "variables": {
                "messages": turns,
                "add_generation_prompt": True,
                **self._variables,
                **self._tokens,
            },
            "characters": longest,
            "memory": limits.MEMORY_BYTES + _BYTES_PER_CHARACTER * size,
            "seconds": limits.CPU_SECONDS,
            "fresh": fresh,
        }
        try:
            answer = self._renderer.render(
                request, _BYTES_PER_WRITTEN * longest + 10_000, self._end - monotonic()
            )
        except limits.RenderingStopped as error:
            raise TemplateError(f"the chat template was stopped: {error}", HINT) from None
        return str(answer.get("kind")), str(answer.get("text"))


_FAILURES: Final = {
    "refused": "the chat template rejected the messages: {}",
    "broken": "the chat template does not compile: {}",
    "failed": "the chat template failed: {}",
    "endless": "the chat template calls itself endlessly",
    "memory": f"the chat template was stopped: {limits.TOO_LARGE}",
    "long": "the chat template was stopped: it writes more than {} characters",
}


def _size(message: Message) -> int:
    """Characters that a template is given of a message."""
    calls = sum(len(call.name) + 2 * len(call.arguments) for call in message.tool_calls)
    return len(message.content) + 2 * len(message.reasoning) + calls


def _variables(source: str, asked: Sampling) -> dict[str, Any]:
    """What a template is told beyond the messages, by the names that published ones know.

    Raises: TemplateError.
    """
    found: dict[str, Any] = {}
    if asked.tools:
        if _TOOLS not in source:
            raise TemplateError("the chat template of this model does not support tools", _NO_TOOLS)
        if CALL_OPENS not in source:
            raise TemplateError(
                "the chat template of this model writes tool calls in another form than Gemma 4's",
                _NO_TOOLS,
            )
        found["tools"] = list(map(_offered, asked.tools))
    if asked.thinking is None:
        return found
    if asked.thinking and _THINKING not in source:
        raise TemplateError(
            "the chat template of this model does not support thinking",
            "leave out --think, or use a model that thinks, such as Gemma 4",
        )
    return {**found, _THINKING: bool(asked.thinking)}


def abilities_of(source: str) -> tuple[str, ...]:
    """What a chat template has words for: ``thinking``, ``tools`` called as Gemma 4 does."""
    thinks, calls = _THINKING in source, _TOOLS in source and CALL_OPENS in source
    return (*(("thinking",) if thinks else ()), *(("tools",) if calls else ()))


def _offered(tool: Tool) -> dict[str, Any]:
    """A tool as OpenAI's interface and templates know it."""
    function = {"name": tool.name, "description": tool.description}
    return {"type": "function", "function": {**function, "parameters": dict(tool.parameters)}}


def _turn(message: Message) -> dict[str, Any]:
    """A message as templates know it; whether earlier thoughts count is the template's choice."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        turn |= {"reasoning": message.reasoning, "reasoning_content": message.reasoning}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.values()},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _with_results(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns with results of tools as a part of the turn that called them."""
    found: list[dict[str, Any]] = []
    for turn in turns:
        calls = found[-1].get("tool_calls") if found else None
        if turn["role"] != "tool" or not calls:
            found.append(turn)
            continue
        results = found[-1].get(_RESULTS, [])
        names = {call["id"]: call["function"]["name"] for call in calls}
        in_order = calls[min(len(results), len(calls) - 1)]["function"]["name"]
        name = names.get(turn.get("tool_call_id"), in_order)
        found[-1] |= {_RESULTS: [*results, {"name": name, "response": turn["content"]}]}
    return found


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """The conversation with its leading system messages put before the first user turn's text."""
    start = 0
    while start < len(messages) and messages[start].role == "system":
        start += 1
    system = "\n\n".join(turn.content for turn in messages[:start])
    rest = list(messages[start:])
    if not start:
        return rest
    if rest and rest[0].role == "user":
        first = rest[0]
        return [Message("user", f"{system}\n\n{first.content}", first.images), *rest[1:]]
    return [Message("user", system), *rest]
