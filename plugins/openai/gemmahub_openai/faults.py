"""What goes wrong between here and a server, as errors that say what to do next."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gemmahub.errors import (
    BackendCrashed,
    BackendError,
    BackendMissing,
    ContextExceeded,
    GenerationFailed,
    LoadFailed,
)
from gemmahub.http.limits import ConnectFailed, ConnectionLost, NoAnswer, TooSlow
from gemmahub.http.values import NotJson, count_of, object_of, parse_json, text_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.http.limits import ExchangeError
    from gemmahub_openai.servers import Server

_LONGEST: Final = 300
# How servers word it that a prompt does not fit; each with where that was read or seen.
_TOO_LONG: Final = (
    "exceed_context_size",  # llama-server (seen, llama.cpp 86a2835)
    "exceeds the available context size",
    "context_length_exceeded",  # OpenAI, llama_cpp.server (llama_cpp/server/errors.py)
    "maximum context length",  # OpenAI, vLLM, llama_cpp.server
    "exceed context window",  # llama_cpp.server
    "exceeds the context length",  # Ollama
    "longer than the maximum model length",  # vLLM
    # LM Studio: lmstudio-ai/lmstudio-bug-tracker issues 237, 546, 2256, 2339
    "greater than the context length",
    "when context the overflows",
    "when the context overflows",
    "context size has been exceeded",
    "reached context length of",
    "cannot truncate prompt with n_keep",  # anomalyco/opencode issue 11141
)
_MESSAGE: Final = re.compile(r'"message": ?"((?:[^"\\]|\\.){1,2000})')
_COUNTS: Final = (
    re.compile(r'"n_prompt_tokens": ?(\d{1,9})'),
    re.compile(r"request \((\d{1,9}) tokens\)"),
    re.compile(r"[Rr]equested tokens \((\d{1,9})\)"),
    re.compile(r"(\d{1,9}) (?:tokens )?in the (?:messages|prompt)"),
    re.compile(r"has (\d{1,9}) input tokens"),
    re.compile(r"(?:keep the first|n_keep:) ?(\d{1,9})"),
)
_SIZES: Final = (
    re.compile(r'n_ctx"?: ?(\d{1,9})'),
    re.compile(r"context (?:size|window|length)[^0-9]{0,12}(\d{1,9})"),
)


class NotOffered(BackendError):
    """The server has no such endpoint."""

    kind: ClassVar[str] = "not_offered"


class WebPage(BackendError):
    """What answers there is a web site, a proxy or a login page: no server of models."""

    kind: ClassVar[str] = "web_page"


class KeyWanted(BackendError):
    """The server asks for a key, or refuses the one that it was given."""

    kind: ClassVar[str] = "key_wanted"


def key_hint(server: Server) -> str:
    """How a server gets its key."""
    if server.found:
        return (
            "name the server in the settings, with its key: gemmahub config set "
            f"plugins.openai.servers.NAME.url {server.url}"
        )
    return (
        f"gemmahub config set plugins.openai.servers.{server.name}.key '{{ env = \"NAME\" }}' "
        "to read it from a variable"
    )


def unreachable(server: Server, reason: str = "") -> BackendMissing:
    """The error for a server that is not there."""
    why = f": {one_line(reason, 120)}" if reason else ""
    hint = (
        "start it" if server.found else f"start it, or change plugins.openai.servers.{server.name}"
    )
    return BackendMissing(f"no server answers at {server.shown}{why}", hint)


def from_exchange(error: ExchangeError, server: Server, doing: str) -> BackendError:
    """The error for an exchange that failed, broke or fell silent while ``doing`` something."""
    if isinstance(error, ConnectFailed):
        return unreachable(server)
    if isinstance(error, NoAnswer | TooSlow):
        return GenerationFailed(
            f"{server.shown} did not answer in time while {doing}",
            "it may be busy or hang: see its log, then try again",
        )
    if isinstance(error, ConnectionLost):
        return BackendCrashed(
            f"the connection to {server.shown} broke while {doing}",
            "see the server's log, then try again",
        )
    return BackendError(f"{server.shown}: {one_line(error.message, _LONGEST)}", error.hint)


def not_json(server: Server, body: bytes, reason: str = "") -> BackendError:
    """The error for an answer that no server of models gives."""
    begin = body[:512].lstrip().lower()
    if begin.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        return WebPage(
            f"{server.shown} answers with a web page, not as a server of models",
            "check the address and the port; a login page or a proxy may be in between",
        )
    what = one_line(reason, 120) or ("an empty one" if not body.strip() else "it is not JSON")
    return BackendError(
        f"{server.shown} sent an invalid answer: {what}",
        "check the address; see the server's log",
    )


def said_in(body: bytes) -> str:
    """The error that an answer tells, in the forms that servers have: ``{"error": {"message"}}``,
    ``{"error": "..."}``, ``{"message"}`` (vLLM), ``{"detail"}`` (FastAPI)."""
    try:
        found = object_of(parse_json(body))
    except NotJson:
        text = "" if body.lstrip().startswith(b"<") else body.decode("utf-8", "replace")
        if match := _MESSAGE.search(text):  # JSON that was cut
            text = match[1]
        return one_line(text, _LONGEST)
    return one_line(error_text(found) or text_of(found.get("detail")), _LONGEST)


def error_text(found: dict[str, Any]) -> str:
    """The text of the error in an object; empty where it has none."""
    error = found.get("error")
    if isinstance(error, dict):
        kind = text_of(error.get("type")) or text_of(error.get("code"))
        text = text_of(error.get("message")) or kind or "no reason"
        counts = ", ".join(
            f'"{name}": {count}'
            for name in ("n_prompt_tokens", "n_ctx")
            if (count := count_of(error.get(name))) is not None
        )
        marked = kind if kind in _TOO_LONG and kind not in text else ""
        return " ".join(filter(None, (text, marked and f"({marked})", counts and f"({counts})")))
    if error:
        return text_of(error) or f"{type(error).__name__} instead of text"
    if found.get("object") == "error":
        return text_of(found.get("message")) or "no reason"
    return ""


def is_too_long(said: str) -> bool:
    """Whether a refusal means that the prompt does not fit the context."""
    plain = said.casefold()
    return any(sign in plain for sign in _TOO_LONG)


def too_long(server: Server, said: str, context: int | None) -> ContextExceeded:
    """The error for a prompt that does not fit; ``context`` is what the server stated before."""
    count, size = _number(_COUNTS, said), _number(_SIZES, said) or context
    asked = f"{count:,} tokens" if count else "more tokens than fit"
    holds = f"; the context holds {size:,}" if size else ""
    lied = ""
    if size is not None and context is not None and size < context:
        lied = f" (it had stated {context:,})"
    return ContextExceeded(
        f"{server.shown} refuses the prompt: {asked}{holds}{lied}",
        "shorten the conversation, or start the server with a larger context",
    )


def from_status(
    server: Server, status: int, body: bytes, kind: type[BackendError] = BackendError
) -> BackendError:
    """The error for an answer with a status that is no success."""
    said = said_in(body)
    if status in (401, 403):
        what = "refuses the key" if server.key else "asks for a key"
        asks = b'"error"' in body or b"authorization" in body.lower()  # Jan's are plain text
        plain = kind is BackendError and asks
        return (KeyWanted if plain else kind)(
            f"{server.shown} {what} (HTTP {status})", key_hint(server)
        )
    if status == 429:
        return kind(f"{server.shown} has too many requests: {said}", "try again in a moment")
    if is_too_long(said):
        return too_long(server, said, None)
    if 300 <= status < 400:
        return kind(
            f"{server.shown} redirects to another address (HTTP {status})", "use that address"
        )
    if body.lstrip().startswith(b"<"):
        return as_kind(not_json(server, body, f"HTTP {status}"), kind)
    if status in (404, 405, 501) and kind is BackendError:
        return NotOffered(
            f"{server.shown} has no such endpoint (HTTP {status})", "check the address"
        )
    if status == 503:
        why = said or "it is loading or busy"
        return kind(f"{server.shown} is not ready: {why}", "try again in a moment")
    return kind(
        f"{server.shown} refuses (HTTP {status}): {said or 'no reason'}",
        "see the server's log; change the request",
    )


def as_kind(error: BackendError, kind: type[BackendError]) -> BackendError:
    """A general error as one of the kind that the caller promises; special ones stay."""
    if kind is BackendError:
        return error
    special = BackendMissing | BackendCrashed | ContextExceeded | LoadFailed
    return error if isinstance(error, special) else kind(error.message, error.hint)


def _number(patterns: tuple[re.Pattern[str], ...], said: str) -> int | None:
    for pattern in patterns:
        if match := pattern.search(said):
            return int(match[1])
    return None
