"""Models of servers that speak OpenAI's API: llama-server, LM Studio, vLLM and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from gemmahub import hookimpl
from gemmahub.engines.contract import (
    Availability,
    Backend,
    Chunk,
    ChunkKind,
    FinishReason,
    ServedModel,
    SessionInfo,
    Setting,
    Usage,
)  # fmt: skip
from gemmahub.engines.plugin_settings import settings_of
from gemmahub.engines.server_session import ServerSession
from gemmahub.errors import BackendError, ContextExceeded, GenerationFailed, LoadFailed
from gemmahub.http.values import NotJson, count_of, object_of, parse_json, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import OnProgress, Prompt, Sampling, Settings

GEMMAHUB_CONTRACT = 2
SETTINGS = (
    Setting("servers", "the address of each server, by a name for it", dict[str, str], {}),
    Setting("key", "the key that the servers ask for", secret=True, env="LAB_KEY"),
)
ENDS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


@hookimpl
def gemmahub_settings() -> tuple[Setting, ...]:
    return SETTINGS


@hookimpl
def gemmahub_backends() -> list[Backend]:
    return [LabBackend()]


class LabBackend(Backend):
    name: ClassVar[str] = "lab"
    in_process: ClassVar[bool] = False
    capabilities: ClassVar[frozenset[str]] = frozenset({"fixed_context", "parallel"})

    def availability(self) -> Availability:
        servers = settings_of("lab", SETTINGS)["servers"]
        if servers:
            return Availability(True, version=f"{len(servers)} server(s)")
        hint = "gemmahub config set plugins.lab.servers lab=http://127.0.0.1:8080"
        return Availability(False, reason="no server is set", hint=hint)

    def served(self, seconds: float) -> list[ServedModel]:
        found = []
        for server, address in settings_of("lab", SETTINGS)["servers"].items():
            for entry in _fetch(address, "/v1/models", seconds).get("data", []):
                meta = object_of(object_of(entry).get("meta"))
                name = text_of(object_of(entry).get("id"))
                found.append(ServedModel(
                    f"{server}://{quote(name, safe='/:.@-_')}", name, "lab", place=address,
                    precision=text_of(meta.get("ftype")), context=count_of(meta.get("n_ctx")),
                    context_trained=count_of(meta.get("n_ctx_train")),
                ))  # fmt: skip
        return found

    def load(
        self, model: ServedModel, settings: Settings, on_progress: OnProgress | None = None
    ) -> LabSession:
        self.check_options(settings)
        if not any((m.name, m.place) == (model.name, model.place) for m in self.served(10.0)):
            raise LoadFailed(f"{model.place} has no model {model.name}", "see `gemmahub list`")
        info = SessionInfo(
            engine="lab", context=model.context, context_trained=model.context_trained,
            chat_template=True, device=model.place, settings=settings,
        )  # fmt: skip
        return LabSession(info, model)


class LabSession(ServerSession):
    def __init__(self, info: SessionInfo, model: ServedModel) -> None:
        super().__init__(info, _client(model.place))
        self._name = model.name

    def request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "model": self._name, "stream": True, "stream_options": {"include_usage": True},
            "temperature": sampling.temperature, "max_tokens": sampling.max_tokens,
            "top_k": sampling.top_k, "top_p": sampling.top_p, "min_p": sampling.min_p,
            "seed": sampling.seed, "stop": [text for text in sampling.stop if text] or None,
        }  # fmt: skip
        if isinstance(prompt, str):
            return "/v1/completions", {**body, "prompt": prompt}
        if any(message.images for message in prompt):
            raise GenerationFailed("images are not sent to this server", "leave them out")
        messages = [{"role": m.role, "content": m.content} for m in prompt]
        return "/v1/chat/completions", {**body, "messages": messages}

    def answer(self, lines: Iterator[bytes]) -> Iterator[Chunk]:
        reason, counts = FinishReason.STOP, object_of(None)
        for line in lines:
            if line.strip() == b"data: [DONE]":
                tokens = (count_of(counts.get(f"{of}_tokens")) for of in ("prompt", "completion"))
                asked, said = tokens
                yield Chunk("", Usage(reason, asked, tokens=said, context=self.info.context))
            if not line.startswith(b"data: {"):
                continue
            found = object_of(parse_json(line.removeprefix(b"data: ")))
            counts = object_of(found.get("usage")) or counts
            for choice in found.get("choices") or ():
                reason = ENDS.get(choice.get("finish_reason"), reason)
                delta = object_of(choice.get("delta")) or choice
                if thought := text_of(delta.get("reasoning_content")):
                    yield Chunk(thought, kind=ChunkKind.REASONING)
                if text := text_of(delta.get("content")) or text_of(delta.get("text")):
                    yield Chunk(text)

    def refused(self, status: int, said: str) -> BackendError:
        if "exceed_context" in said:
            return ContextExceeded(f"the server refuses: {said}", "shorten the conversation")
        return super().refused(status, said)


def _client(address: str) -> Any:
    from gemmahub.http.client import WebClient

    key = settings_of("lab", SETTINGS)["key"]
    secrets = {"Authorization": f"Bearer {key}"} if key else {}
    headers = {"Content-Type": "application/json"}
    return WebClient(address, headers=headers, secrets=secrets, proxies=False)


def _fetch(address: str, path: str, seconds: float) -> dict[str, Any]:
    from gemmahub.http.limits import ExchangeError, Limits

    try:
        with _client(address) as web:
            return object_of(parse_json(web.fetch("GET", path, limits=Limits(total=seconds)).body))
    except (ExchangeError, NotJson) as error:
        raise BackendError(f"{address}: {error}", "is the server running?") from None
