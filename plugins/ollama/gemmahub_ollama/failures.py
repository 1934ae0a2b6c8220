"""What goes wrong between here and an Ollama server, as errors that say what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.errors import (
    BackendCrashed,
    BackendError,
    BackendMissing,
    ContextExceeded,
    GenerationFailed,
    LoadFailed,
)
from gemmahub.http.limits import ConnectFailed, ConnectionLost, NoAnswer, TooSlow
from gemmahub.http.values import text_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.http.limits import ExchangeError
    from gemmahub_ollama.address import Address

START = "start it: ollama serve (OLLAMA_HOST sets another place); it is free at ollama.com"
_LOG = "see the server's log: journalctl -u ollama, or the terminal of ollama serve"
_TOO_LONG = "exceeds the context length"
_LONGEST = 2000  # characters of an error that a server tells


def unreachable(address: Address) -> BackendMissing:
    """The error for a server that is not there."""
    return BackendMissing(f"no Ollama server answers at {address.shown}", START)


def not_ollama(address: Address, problem: str) -> BackendError:
    """The error for an answer that no Ollama server gives."""
    return BackendError(
        f"{address.shown} sent an invalid answer: {problem}",
        "check OLLAMA_HOST: another program may listen there, or an Ollama too old or too new",
    )


def from_exchange(error: ExchangeError, address: Address, doing: str) -> BackendError:
    """The error for an exchange that failed, broke or fell silent while ``doing`` something."""
    if isinstance(error, ConnectFailed):
        return unreachable(address)
    if isinstance(error, NoAnswer):
        return GenerationFailed(
            f"the Ollama server at {address.shown} stopped responding while {doing}",
            f"raise the option timeout (in seconds) to wait longer; {_LOG}",
        )
    if isinstance(error, TooSlow):
        return GenerationFailed(
            f"the Ollama server at {address.shown} sends too slowly while {doing}",
            f"check OLLAMA_HOST: another program may listen there; {_LOG}",
        )
    if isinstance(error, ConnectionLost):
        return BackendCrashed(
            f"the connection to the Ollama server at {address.shown} broke while {doing}",
            f"try again; {_LOG}",
        )
    return not_ollama(address, error.message)


def from_status(status: int, said: str, model: str, kind: type[BackendError]) -> BackendError:
    """The error for an answer with an error in it; ``status`` is 0 where none came with it."""
    said = one_line(said, 300) or f"HTTP {status}"
    if _TOO_LONG in said:
        return ContextExceeded(
            "the prompt is longer than the context that Ollama has for this model",
            "shorten the prompt, or set a larger --ctx-size",
        )
    if status == 404 or "not found" in said:
        return kind(
            f"the Ollama server has no model {one_line(model)}: {said}",
            "gemmahub list shows what is in its store; OLLAMA_HOST and OLLAMA_MODELS must "
            "belong to the same server",
        )
    if status == 503:
        return kind(f"the Ollama server is busy: {said}", "try again in a moment")
    return kind(f"the Ollama server refuses: {said}", _LOG)


def error_in(body: Any) -> str | None:
    """The text of the error in an answer, None if it has none."""
    said = body.get("error") if isinstance(body, dict) else None
    if not said:
        return None
    return text_of(said, _LONGEST) or f"{type(said).__name__} instead of text"


def as_kind(error: BackendError, kind: type[BackendError]) -> BackendError:
    """A general error as one of the kind that the caller promises; special ones stay."""
    special = BackendMissing | BackendCrashed | ContextExceeded | LoadFailed
    return error if isinstance(error, special) else kind(error.message, error.hint)
