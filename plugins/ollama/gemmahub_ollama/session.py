"""A model that an Ollama server has loaded, and one talks to."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Message, SessionBase
from gemmahub.engines.sampling import check_sampling
from gemmahub.errors import BackendError, GenerationFailed
from gemmahub_ollama.answer import AnswerReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gemmahub.engines.contract import Chunk, Prompt, Sampling, SessionInfo, Tool
    from gemmahub_ollama.server import OllamaServer

_ROLES: Final = ("system", "user", "assistant", "tool")


class OllamaSession(SessionBase):
    """One model on a server.

    One answer at a time: beginning a new one ends the one before, which then gives its last chunk
    as cancelled. ``options`` go with each request, because a request with others makes the server
    load the model again. ``unload``: closing also makes the server forget the model.
    """

    def __init__(
        self,
        server: OllamaServer,
        model: str,
        info: SessionInfo,
        *,
        options: Mapping[str, Any],
        keep_alive: str,
        stops: Sequence[str] = (),
        thinks: bool = False,
        tools: bool = False,
        unload: bool = True,
    ) -> None:
        self.info = info
        self._server = server
        self._model = model
        self._options = dict(options)
        self._keep_alive = keep_alive
        self._stops = tuple(stops)
        self._thinks = thinks
        self._tools = tools
        self._unload = unload
        self._lock = threading.Lock()
        self._closed = False
        self._answer: AnswerReader | None = None
        self._asked: list[Message] = []

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer; the prompt is sent when the first chunk is asked for.

        Raises: GenerationFailed; and while it is read ContextExceeded, BackendCrashed.
        """
        check_sampling(sampling)
        if not prompt:
            raise GenerationFailed("there is nothing to answer", "write a message")
        path, body = self._request(prompt, sampling)
        assert self.info.context is not None
        with self._lock:
            if self._closed:
                raise GenerationFailed("the session is closed", "load the model again")
            if self._answer is not None:
                self._answer.stop()
            answer = AnswerReader(
                self._server, path, body, sampling, self.info.context, self._at_least(prompt)
            )
            self._answer = answer
            self._asked = [] if isinstance(prompt, str) else list(prompt)
        return answer.chunks()

    def _at_least(self, prompt: Prompt) -> int:
        """Tokens that a conversation has in any case: those of the one that it continues."""
        if self._answer is None or isinstance(prompt, str) or not self._asked:
            return 0
        continues = list(prompt[: len(self._asked)]) == self._asked
        return self._answer.prompt_tokens if continues else 0

    def cancel(self) -> None:
        """Stop the running answer, also while its prompt is computed; from any thread."""
        with self._lock:
            if self._answer is not None:
                self._answer.stop()

    def close(self) -> None:
        """Stop a running answer and let the server forget the model; twice is fine."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._answer is not None:
                self._answer.stop(closed=True)
        try:
            if self._unload:
                self._server.unload(self._model)
        except BackendError:
            pass  # a server that is gone holds nothing any more
        finally:
            self._server.close()

    def _request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict[str, Any]]:
        """Path and body of the request.

        ``truncate`` and ``shift`` false: a prompt that is too long is refused, a full context ends
        the answer. Without them Ollama drops the beginning and says nothing.
        """
        body: dict[str, Any] = {
            "model": self._model,
            "stream": True,
            "truncate": False,
            "shift": False,
            "keep_alive": self._keep_alive,
            "options": {**self._options, **sampling_options(sampling, self._stops)},
        }
        chat = not isinstance(prompt, str) and self.info.chat_template
        thinks = chat and self._thinks
        if sampling.schema is not None:
            body["format"] = dict(sampling.schema)
        if sampling.tools:
            _check_tools(known=chat and self._tools)
            body["tools"] = list(map(_tool, sampling.tools))
        if sampling.thinking:
            _check_thinking(sampling.thinking, thinks=bool(thinks))
        if self._thinks:
            body["think"] = bool(sampling.thinking)
        if not isinstance(prompt, str):
            names = {call.id: call.name for turn in prompt for call in turn.tool_calls}
            messages = [_message(turn, names, with_thought=self._thinks) for turn in prompt]
            if self.info.chat_template:
                return "/api/chat", {**body, "messages": messages}
            if any(message.images for message in prompt):
                raise GenerationFailed(
                    "a model without a chat template accepts no images", "leave out the images"
                )
            prompt = "\n\n".join(message.content for message in prompt)
        return "/api/generate", {**body, "raw": True, "prompt": prompt}


def sampling_options(sampling: Sampling, own_stops: Sequence[str]) -> dict[str, Any]:
    """Sampling as Ollama's options. Stop texts replace the model's own, so those go along.

    What the caller leaves open is left to the model. No penalty for repetition, which is Ollama's
    own default and no part of :class:`~gemmahub.engines.contract.Sampling`.
    """
    stops = [stop for stop in sampling.stop if stop]
    wanted = {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "seed": sampling.seed,
        # Ollama takes 0 for no limit: the one token of it is then left out of the answer.
        "num_predict": -1 if sampling.max_tokens is None else max(sampling.max_tokens, 1),
        "repeat_penalty": 1.0,
        "stop": [*own_stops, *stops] if stops else None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _check_tools(*, known: bool) -> None:
    """Raises: GenerationFailed."""
    if not known:
        raise GenerationFailed(
            "Ollama says that this model does not support tools",
            "leave out the tools, or use a model with tools, such as Gemma 4",
        )


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description}
    return {"type": "function", "function": {**function, "parameters": dict(tool.parameters)}}


def _check_thinking(wanted: bool | int, *, thinks: bool) -> None:
    """Raises: GenerationFailed."""
    if not thinks:
        raise GenerationFailed(
            "Ollama says that this model does not think",
            "leave out --think, or use a model that thinks, such as Gemma 4",
        )
    if type(wanted) is int:
        raise GenerationFailed(
            "Ollama cannot limit thinking", "use --think, or another engine with --backend"
        )


def _message(message: Message, names: Mapping[str, str], *, with_thought: bool) -> dict[str, Any]:
    """A message as Ollama takes it; its template decides whether earlier thoughts count. ``names``
    are those of the tools that were called, by the ids of the calls.

    Raises: GenerationFailed for a role that it would drop, or an image that cannot be read.
    """
    if message.role not in _ROLES:
        raise GenerationFailed(
            f"a message cannot be from {message.role!r}", f"use one of {', '.join(_ROLES)}"
        )
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if with_thought and message.reasoning:
        found["thinking"] = message.reasoning
    if message.tool_calls:
        found["tool_calls"] = [
            {"function": {"name": call.name, "arguments": call.values()}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        found["tool_name"] = names.get(message.tool_call_id, "")
    try:
        images = [base64.b64encode(path.read_bytes()).decode() for path in message.images]
    except OSError as error:
        raise GenerationFailed(
            f"the image {error.filename} cannot be read: {error.strerror}", "choose another file"
        ) from error
    return {**found, "images": images} if images else found
