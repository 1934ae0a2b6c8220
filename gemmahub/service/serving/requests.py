"""What a client sends: read within limits, and looked at before an engine sees it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from gemmahub.http.values import NotJson, count_of, object_of, parse_json
from gemmahub.service.serving.api_errors import ANTHROPIC, ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

EMBEDDINGS: Final = "/v1/embeddings"
"""Where vectors of texts are asked for."""
MOST_BYTES: Final = 32 << 20
"""Of one body: a long conversation with some images."""
ALL_BYTES: Final = 256 << 20
"""Of all bodies that are in memory at once."""
MOST_REQUESTS: Final = 512
"""That are answered or wait at once."""
_VALUES: Final = 1_000_000
_SECONDS: Final = 60.0
_MEDIA: Final = frozenset(
    {"image", "image_url", "input_image", "input_audio", "audio_url", "video_url", "document"}
)
_LOOKED_AT: Final = 16  # levels of a content part


class Desk:
    """Takes requests as long as there is room for them."""

    def __init__(self) -> None:
        self._bytes = 0
        self._requests = 0

    @contextmanager
    def place(self) -> Iterator[list[int]]:
        """A place for one request; what it gives counts the bytes of its body.

        Raises: ApiError when all are taken.
        """
        if self._requests >= MOST_REQUESTS:
            raise ApiError(
                503, f"{MOST_REQUESTS} requests are in progress already: try again later"
            )
        self._requests += 1
        sizes: list[int] = []
        try:
            yield sizes
        finally:
            self._requests -= 1
            self._bytes -= sum(sizes)

    async def read(self, request: Request, sizes: list[int]) -> dict[str, Any]:
        """The object in a body. Raises: ApiError; ClientDisconnect."""
        told = request.headers.get("content-length", "")
        if told.isdigit() and int(told) > MOST_BYTES:
            raise _too_large()
        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(_SECONDS):
                async for piece in request.stream():
                    self._count(len(piece), sizes)
                    pieces.append(piece)
        except TimeoutError:
            raise ApiError(408, "the body did not come in time") from None
        try:
            found = parse_json(b"".join(pieces), _VALUES)
        except NotJson as error:
            raise ApiError(400, f"the body cannot be read: {error}") from None
        if not isinstance(found, dict):
            raise ApiError(400, "the body must be a JSON object")
        return found

    def _count(self, size: int, sizes: list[int]) -> None:
        sizes.append(size)
        self._bytes += size
        if sum(sizes) > MOST_BYTES:
            raise _too_large()
        if self._bytes > ALL_BYTES:
            raise ApiError(503, "too many large requests are in progress: try again later")


def _too_large() -> ApiError:
    return ApiError(413, f"the body has more than {MOST_BYTES >> 20} MiB")


def model_name(body: dict[str, Any]) -> str:
    """The model that is asked. Raises: ApiError for what is no name."""
    name = body.get("model", "")
    if not isinstance(name, str):
        raise ApiError(400, "'model' must be the name of a model")
    return name


def check(body: dict[str, Any], path: str, *, has_tools: bool, embeds: bool = False) -> None:
    """Raises: ApiError for what an engine would ignore, or should not be asked."""
    if embeds and path != EMBEDDINGS:
        said = f"this model only makes embeddings: use {EMBEDDINGS}"
        raise ApiError(400, said, "model_only_embeds")
    if path == EMBEDDINGS and not embeds:
        said = "this model cannot embed: use an embedding model"
        raise ApiError(400, said, "model_does_not_embed")
    if "chat/completions" in path or path.startswith(ANTHROPIC):
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise ApiError(400, "'messages' must be a list of messages")
        if any(not isinstance(message, dict) for message in messages):
            raise ApiError(400, "each of 'messages' must be an object")
    if body.get("tools") and not has_tools:
        raise ApiError(
            400,
            "the chat template of this model does not support tools: leave out 'tools', "
            "or use another model",
            "tools_not_supported",
        )
    for name in ("messages", "input"):
        _no_addresses(body.get(name), _LOOKED_AT)


def with_thinking(body: dict[str, Any], path: str) -> dict[str, Any]:
    """The body with each API's own word for thinking as chat templates know it: OpenAI's
    ``reasoning_effort``, Anthropic's ``thinking``. llama-server passes neither on."""
    told = object_of(body.get("chat_template_kwargs"))
    if "enable_thinking" in told:
        return body
    if path.startswith(ANTHROPIC):
        asked = object_of(body.get("thinking"))
        wanted: bool | None = None if not asked else asked.get("type") in ("enabled", "adaptive")
        budget = count_of(asked.get("budget_tokens")) if wanted else None
        more = {} if budget is None else {"thinking_budget_tokens": budget}
    else:
        effort, more = body.get("reasoning_effort"), {}
        wanted = effort not in ("none", "minimal") if isinstance(effort, str) else None
    if wanted is None:
        return body
    return {**body, "chat_template_kwargs": {**told, "enable_thinking": wanted}, **more}


def _no_addresses(value: object, levels: int) -> None:
    """Images come with the request: no engine of ours fetches what a client names."""
    if levels == 0:
        return
    if isinstance(value, list):
        for each in value:
            _no_addresses(each, levels - 1)
        return
    part = object_of(value)
    if part.get("type") in _MEDIA:
        source = part.get("source")
        kind = part["type"]
        inner = source if isinstance(source, dict) else part.get(kind, part.get("image_url"))
        address = inner.get("url") if isinstance(inner, dict) else inner
        if isinstance(address, str) and not address.startswith("data:"):
            raise ApiError(400, "an image must be a data: URL; addresses are not fetched")
    _no_addresses(part.get("content"), levels - 1)
