"""Failures as the two APIs say them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse

from gemmahub.errors import DoesNotFit, GemmahubError
from gemmahub.http.values import NotJson, count_of, object_of, parse_json, text_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from starlette.responses import Response

ANTHROPIC: Final = "/v1/messages"
_SAID: Final = 1000
_OPENAI: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    503: "overloaded_error",
}
"""Anthropic's words, which are OpenAI's where it has one; else ``api_error``."""


class ApiError(Exception):
    """What a request is answered with in place of what it asked for. ``code`` is OpenAI's word for
    the reason; ``more`` goes beside the message, such as the size of the context."""

    def __init__(self, status: int, message: str, code: str = "", **more: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.more = status, message, code, more


def api_error(error: GemmahubError) -> ApiError:
    """A failure of ours, such as a model that cannot be loaded."""
    message = f"{error.message}: {error.hint}" if error.hint else error.message
    status = 503 if isinstance(error, DoesNotFit) else 500
    return ApiError(status, one_line(message, _SAID), error.kind)


def engine_error(status: int, body: bytes) -> ApiError:
    """What an engine refused a request with."""
    try:
        found = object_of(object_of(parse_json(body)).get("error"))
    except NotJson:
        found = {}
    message = one_line(text_of(found.get("message")), _SAID) or f"the engine answers HTTP {status}"
    if status == 500 and ("required" in message or "not supported" in message):
        status = 400  # llama-server's word for a field that is missing, or an image
    if status == 501:
        status = 400
    kind = text_of(found.get("type"), 80)
    if "too large to process" in message:  # what a model embeds, it reads in one step
        status, kind = 400, "exceed_context_size_error"
        message = "a text of the input exceeds the context of this model"
    more = {name: found[name] for name in ("n_ctx", "n_prompt_tokens") if count_of(found.get(name))}
    code = "context_length_exceeded" if kind.startswith("exceed_context") else kind
    return ApiError(status, message, code, **more)


def body_of(error: ApiError, path: str) -> dict[str, Any]:
    """The object that the API of a path answers with."""
    kind = _OPENAI.get(error.status, "api_error")
    found = {"type": kind, "message": error.message}
    if path.startswith(ANTHROPIC):
        return {"type": "error", "error": found}
    return {"error": found | {"param": None, "code": error.code or kind, **error.more}}


def response_of(error: ApiError, path: str) -> Response:
    """The answer itself."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse(body_of(error, path), error.status, headers)
