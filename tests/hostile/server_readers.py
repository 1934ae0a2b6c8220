"""What servers by URL say: lists of models, properties, answers event by event."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Chunk
from gemmahub.engines.guarded import whole
from gemmahub.engines.validation import check_served
from gemmahub.http.client import WebAnswer
from gemmahub.http.values import NotJson
from gemmahub_openai.answer import EventReader
from gemmahub_openai.asking import describe
from gemmahub_openai.client import Clock, ServerClient
from gemmahub_openai.listing import Answered, offers, served_model
from gemmahub_openai.servers import Server

if TYPE_CHECKING:
    from pathlib import Path

_SERVER: Final = Server("lab", "http://127.0.0.1:9", key="k3y")
LIST: Final = {
    "object": "list",
    "data": [
        {
            "id": "/models/gemma-3-4b-it-q4_k_m.gguf",
            "object": "model",
            "owned_by": "llamacpp",
            "architecture": {"input_modalities": ["text", "image"]},
            "meta": {"n_ctx": 8192, "n_ctx_train": 131072, "ftype": "Q4_K - Medium"},
            "status": {"value": "loaded", "args": ["--model", "/models/x.gguf"]},
            "max_model_len": 8192,
        }
    ],
}
PROPS: Final = {
    "role": "router",
    "model_path": "/models/x.gguf",
    "model_ftype": "Q4_K - Medium",
    "chat_template": "enable_thinking",
    "chat_template_caps": {"supports_tools": True},
    "modalities": {"vision": True},
    "default_generation_settings": {"n_ctx": 8192},
    "vllm_config": {"model_config": {"dtype": "torch.bfloat16", "quantization": "awq"}},
    "version": "0.20",
}
STUDIO: Final = {
    "models": [
        {
            "key": "gemma-3-4b-it",
            "type": "llm",
            "architecture": "gemma3",
            "quantization": {"name": "Q4_0", "bits_per_weight": 4},
            "size_bytes": 2410208,
            "loaded_instances": [{"id": "x:2", "config": {"context_length": 4096}}],
            "max_context_length": 32768,
            "capabilities": {"vision": False, "trained_for_tool_use": True},
        }
    ]
}
EVENTS: Final[list[dict[str, Any]]] = [
    {
        "model": "tiny",
        "choices": [
            {
                "delta": {
                    "content": "a",
                    "reasoning_content": "b",
                    "tool_calls": [
                        {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
    },
    {
        "choices": [],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {}},
        "timings": {"prompt_n": 5, "prompt_ms": 1.5, "predicted_ms": 2.5},
    },
]


class GivenAnswers(ServerClient):
    """A client that is given its answers: ``answers`` by the beginning of the path."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        super().__init__(_SERVER)
        self._answers = answers

    def fetch(self, method: str, path: str, body: Any, clock: Clock, doing: str) -> WebAnswer:
        for begin, raw in self._answers.items():
            if path.startswith(begin):
                return WebAnswer(200, {"server": "x"}, raw, path)
        return WebAnswer(404, {}, b"{}", path)


def read_list(raw: bytes, _: Path) -> None:
    """A changed list, with sound properties."""
    _described({"/v1/models": raw, "/props": json.dumps(PROPS | {"role": ""}).encode()})


def read_props(raw: bytes, _: Path) -> None:
    """Changed properties of a llama-server and of vLLM."""
    for owner in ("llamacpp", "vllm"):
        listed = {"data": [LIST["data"][0] | {"owned_by": owner}]}  # type: ignore[operator]
        _described({"/v1/models": json.dumps(listed).encode(), "/": raw})


def read_studio(raw: bytes, _: Path) -> None:
    """A changed list of LM Studio."""
    listed = {"data": [{"id": "x", "owned_by": "organization_owner"}]}
    _described({"/v1/models": json.dumps(listed).encode(), "/api/v1/models": raw})


def read_events(raw: bytes, _: Path) -> None:
    """A changed answer."""
    reader = EventReader(_SERVER, "tiny", 8, 64)
    with suppress(NotJson):
        for chunk in reader.chunks(iter([*raw.splitlines(), b"data: [DONE]"])):
            assert isinstance(whole(chunk), Chunk)


def _described(answers: dict[str, bytes]) -> None:
    with GivenAnswers(answers) as client:
        state = describe(client, Clock(5.0))
    listed = [served_model(offer) for offer in offers([Answered(_SERVER, state)])]
    models, broken, _ = check_served(listed, "openai")
    assert not broken
    for model in models:
        assert model.context is None or model.context >= 0


def changed_events(changed: bytes) -> bytes:
    """The events of an answer, one of them changed."""
    first = b"data: " + json.dumps(EVENTS[0]).encode()
    return b"\n".join((first, b"data: " + changed.replace(b"\n", b" ")))
