"""The request for an answer, as each program takes it.

What a program does not take is refused, not left out: a schema that is ignored gives an answer that
looks right.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import FormRefused, GenerationFailed
from gemmahub.text import one_line
from gemmahub_openai.servers import ServerKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Message, Sampling, Tool

ROLES: Final = ("system", "user", "assistant", "tool")
_MEDIA_BYTES: Final = 64 << 20
_IMAGES: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}


@dataclass(frozen=True, slots=True)
class Ways:
    """What a program takes beyond OpenAI's own parameters.

    ``schema`` is how it takes a JSON schema: ``json_schema`` as OpenAI, ``json_object`` with the
    schema in it, or empty. ``thinking``: ``chat_template_kwargs``; ``budget``: a limit on thoughts;
    ``cuts``: top-k and min-p.
    """

    schema: str = ""
    grammar: bool = False
    thinking: bool = False
    budget: bool = False
    cuts: bool = True


_LLAMA: Final = Ways("json_schema", grammar=True, thinking=True, budget=True)
WAYS: Final[dict[ServerKind, Ways]] = {
    # tools/server of ggml-org/llama.cpp: ``oaicompat_chat_params_parse`` (common parameters).
    ServerKind.LLAMA_SERVER: _LLAMA,
    ServerKind.LLAMA_ROUTER: _LLAMA,
    ServerKind.JAN: Ways("json_schema", thinking=True),  # in front of a llama-server
    # https://lmstudio.ai/docs/developer/openai-compat/structured-output
    ServerKind.LM_STUDIO: Ways("json_schema"),
    # https://docs.vllm.ai: extra parameters of the chat API, ``chat_template_kwargs``
    ServerKind.VLLM: Ways("json_schema", thinking=True),
    # llama_cpp/server/types.py of abetlen/llama-cpp-python: ``response_format`` of json_object
    ServerKind.LLAMA_CPP_PYTHON: Ways("json_object", grammar=True),
    # mlx_lm/server.py of ml-explore/mlx-lm 0.32: no response_format
    ServerKind.MLX: Ways(thinking=True),
    ServerKind.OTHER: Ways("json_schema"),
}


def sampling_body(sampling: Sampling, ways: Ways) -> dict[str, Any]:
    """Sampling as OpenAI's API takes it, with top-k and min-p where the program has them."""
    body: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": None if sampling.seed is None else sampling.seed % 2**31,
        "stop": [text for text in sampling.stop if text] or None,
    }
    if ways.cuts:
        body |= {"top_k": sampling.top_k, "min_p": sampling.min_p or 0.0}
    return body


def form_body(sampling: Sampling, ways: Ways, shown: str) -> dict[str, Any]:
    """What an answer has to keep to. Raises: FormRefused."""
    if sampling.grammar is not None:
        if not ways.grammar:
            raise FormRefused(
                f"{shown} does not support grammars", "use a JSON schema, or another engine"
            )
        return {"grammar": sampling.grammar}
    if sampling.schema is None:
        return {}
    if not ways.schema:
        raise FormRefused(
            f"{shown} does not support schemas", "leave it out, or use another engine"
        )
    schema = dict(sampling.schema)
    if ways.schema == "json_object":
        return {"response_format": {"type": "json_object", "schema": schema}}
    named = {"name": "answer", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def thinking_body(
    wanted: bool | int | None, ways: Ways, thinks: bool | None, shown: str
) -> dict[str, Any]:
    """Whether, and for how long, the model may think. Raises: GenerationFailed."""
    if wanted is None or (wanted is False and thinks is False):
        return {}
    if wanted is not False and thinks is False:
        raise GenerationFailed(
            f"{shown} says that this model does not think",
            "leave out --think, or use a model that thinks, such as Gemma 4",
        )
    if not ways.thinking:
        if wanted is False:
            return {}  # it is not asked to think; what it thinks unasked is told apart
        raise GenerationFailed(
            f"{shown} cannot switch thinking", "leave out --think, or use another engine"
        )
    body: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": bool(wanted)}}
    if type(wanted) is not int:
        return body
    if not ways.budget:
        raise GenerationFailed(f"{shown} cannot limit thinking", "use --think, or another engine")
    return {**body, "thinking_budget_tokens": wanted}


def tools_body(tools: Sequence[Tool], can: bool | None, shown: str) -> dict[str, Any]:
    """The tools that the model may ask for. Raises: GenerationFailed."""
    if not tools:
        return {}
    if can is False:
        raise GenerationFailed(
            f"{shown} says that this model does not support tools",
            "leave out the tools, or use a model with tools, such as Gemma 4",
        )
    listed = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
            },
        }
        for tool in tools
    ]
    return {"tools": listed}


def message_body(message: Message, images: bool | None, shown: str) -> dict[str, Any]:
    """A message as OpenAI's API has it; images stand before the text, as data.

    Raises: GenerationFailed for a role that there is not, or an image that cannot be sent.
    """
    if message.role not in ROLES:
        raise GenerationFailed(
            f"a message cannot be from {one_line(message.role, 40)!r}",
            f"use one of {', '.join(ROLES)}",
        )
    content = whole(message.content)
    found: dict[str, Any] = {"role": message.role, "content": content}
    if message.images:
        if images is False:
            raise GenerationFailed(
                f"{shown} says that this model does not support images", "leave out the images"
            )
        parts = [
            {"type": "image_url", "image_url": {"url": _data(path)}} for path in message.images
        ]
        found["content"] = [*parts, {"type": "text", "text": content}]
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        found["tool_call_id"] = message.tool_call_id
    if message.reasoning:
        found["reasoning_content"] = message.reasoning
    return found


def whole(text: str) -> str:
    """A text without halves of characters, which no server takes."""
    return text.encode("utf-8", "replace").decode()


def _data(path: Path) -> str:
    """A file as a data URL. Raises: GenerationFailed."""
    name = one_line(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(_MEDIA_BYTES + 1)
    except OSError as error:
        raise GenerationFailed(
            f"the image {name} cannot be read: {error.strerror}", "choose another file"
        ) from None
    if len(content) > _MEDIA_BYTES:
        raise GenerationFailed(
            f"the image {name} has more than {_MEDIA_BYTES >> 20} MiB", "choose another file"
        )
    kind = next((kind for begin, kind in _IMAGES.items() if content.startswith(begin)), "")
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "image/webp"
    if not kind:
        raise GenerationFailed(
            f"{name} is not an image format that servers accept",
            "name a PNG, JPEG, GIF, BMP or WebP file",
        )
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
