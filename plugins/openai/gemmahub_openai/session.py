"""A model that a server has, and one talks to."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Chunk, FinishReason, Usage
from gemmahub.engines.server_session import ServerSession
from gemmahub.errors import BackendError, FormRefused, GenerationFailed
from gemmahub_openai import faults, request
from gemmahub_openai.answer import EventReader
from gemmahub_openai.client import Clock, ServerClient, web_client
from gemmahub_openai.servers import Server, ServerKind, StatedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub.engines.contract import Prompt, Sampling, SessionInfo

_REASON_SECONDS: Final = 20.0
# Programs that go on until the context is full, and how a text completion says that it may.
_ENDLESS: Final = (ServerKind.LLAMA_SERVER, ServerKind.LLAMA_ROUTER, ServerKind.JAN)
_WITHOUT_LIMIT: Final = {
    ServerKind.LLAMA_SERVER: -1,
    ServerKind.LLAMA_ROUTER: -1,
    ServerKind.JAN: -1,
    ServerKind.LM_STUDIO: -1,  # https://lmstudio.ai/docs/developer/openai-compat/completions
    ServerKind.LLAMA_CPP_PYTHON: 0,  # llama_cpp/llama.py: 0 and less are no limit
    ServerKind.MLX: 1 << 20,
}


@dataclass(frozen=True, slots=True)
class Partner:
    """Whom a session talks to: the server, what it is, and the name that requests give the model.

    ``model`` is what the server states of it. ``plain``: nothing is sent but OpenAI's own
    parameters.
    """

    server: Server
    kind: ServerKind
    model: StatedModel
    name: str
    plain: bool = False

    @property
    def ways(self) -> request.Ways:
        """What the program takes."""
        ways = request.WAYS.get(self.kind, request.WAYS[ServerKind.OTHER])
        if not self.plain:
            return ways
        return request.Ways("json_schema", cuts=False)


class RemoteSession(ServerSession):
    """One model of a server; several answers at once, if the server does that.

    ``on_close`` gives the model's memory back where it was loaded for this session.
    """

    def __init__(
        self,
        info: SessionInfo,
        partner: Partner,
        on_close: Callable[[], None] = lambda: None,
        silence: float | None = None,
    ) -> None:
        super().__init__(info, web_client(partner.server))
        self._partner = partner
        self._on_close = on_close
        self._unanswered = threading.local()
        if silence is not None:
            self.silence_seconds = silence  # type: ignore[misc]

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer; see :class:`ServerSession`.

        Raises: GenerationFailed, FormRefused; while it is read also ContextExceeded,
        BackendCrashed, BackendMissing.
        """
        chunks = super().generate(prompt, sampling)
        if sampling.max_tokens == 0:  # programs take it for 1, for none, or refuse it
            return iter(
                [Chunk("", Usage(FinishReason.LENGTH, tokens=0, context=self.info.context))]
            )
        return chunks

    def request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict[str, Any]]:
        """A text is completed as it stands; a conversation is formatted by the server."""
        partner, ways = self._partner, self._partner.ways
        shown = partner.server.shown
        body = {"model": partner.name, **request.sampling_body(sampling, ways)}
        body |= request.form_body(sampling, ways, shown)
        if isinstance(prompt, str):
            if sampling.max_tokens is None:  # 16 is the default of OpenAI's own
                body["max_tokens"] = _WITHOUT_LIMIT.get(partner.kind)
            return "/v1/completions", {**body, "prompt": request.whole(prompt)}
        model = partner.model
        body |= request.thinking_body(sampling.thinking, ways, model.thinks, shown)
        body |= request.tools_body(sampling.tools, model.tools, shown)
        if model.tools is False and any(m.tool_calls or m.role == "tool" for m in prompt):
            raise GenerationFailed(
                f"{shown} says that this model does not support tools", "leave out the calls"
            )
        if sampling.max_tokens is None and partner.kind is ServerKind.MLX:
            body["max_tokens"] = _WITHOUT_LIMIT[partner.kind]  # its own default is 512
        messages = [request.message_body(each, self.info.images, shown) for each in prompt]
        return "/v1/chat/completions", {**body, "messages": messages}

    def reading(
        self, prompt: Prompt, sampling: Sampling
    ) -> Callable[[Iterator[bytes]], Iterator[Chunk]]:
        """What reads one answer: it knows how many tokens were asked for, and remembers the request
        where nothing at all came."""
        reader = self._reader(sampling.max_tokens)

        def chunks(lines: Iterator[bytes]) -> Iterator[Chunk]:
            self._unanswered.request = None
            yield from reader.chunks(lines)
            if not reader.seen:
                self._unanswered.request = self.request(prompt, sampling)

        return chunks

    def answer(self, lines: Iterator[bytes]) -> Iterator[Chunk]:
        """The chunks of an answer; the last one with the server's own counts."""
        return self._reader(None).chunks(lines)

    def _reader(self, wanted: int | None) -> EventReader:
        partner = self._partner
        endless = partner.kind in _ENDLESS
        return EventReader(partner.server, partner.name, wanted, self.info.context, endless)

    def refused(self, status: int, said: str) -> BackendError:
        """A prompt that is too long, a wrong key, or something else, in the server's words."""
        server = self._partner.server
        if faults.is_too_long(said):
            return faults.too_long(server, said, self.info.context)
        if status in (400, 422) and any(word in said for word in ("grammar", "schema")):
            return FormRefused(
                f"{server.shown} cannot constrain an answer to this schema or grammar: {said}",
                "simplify it",
            )
        if status in (400, 422) and any(word in said for word in ("top_k", "min_p")):
            hint = f"gemmahub config set plugins.openai.servers.{server.name}.plain true"
            return GenerationFailed(f"{server.shown} refuses: {said}", hint)
        return faults.from_status(server, status, said.encode(), GenerationFailed)

    def broken(self, what: str) -> BackendError:
        """A server that failed in the middle of an answer, or is not there any more."""
        request, self._unanswered.request = getattr(self._unanswered, "request", None), None
        if "cannot be reached" in what:
            return faults.unreachable(self._partner.server)
        if request is not None and (error := self._reason(*request)) is not None:
            return error
        return super().broken(what)

    def _reason(self, path: str, body: dict[str, Any]) -> BackendError | None:
        """Why an answer ended before it began. llama_cpp.server closes a stream where it refuses a
        request; asked for one token without a stream it says why (seen: 0.3.36)."""
        unlike = {**body, "stream": False, "stream_options": None, "max_tokens": 1}
        sent = {name: value for name, value in unlike.items() if value is not None}
        try:
            with ServerClient(self._partner.server) as client:
                found = client.fetch("POST", path, sent, Clock(_REASON_SECONDS), "it answered")
        except BackendError:
            return None
        said = faults.said_in(found.body)
        return self.refused(found.status, said) if found.status >= 300 else None

    def close(self) -> None:
        """Stop what runs; give the model's memory back where it was loaded for this session."""
        first = not self._closed
        super().close()
        if first:
            with suppress(BackendError):  # a server that is gone holds nothing any more
                self._on_close()
