"""What goes wrong with Kaggle, as errors that say what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import Gated, IntegrityError, NetworkError, NotFound
from gemmahub.text import format_bytes, one_line
from gemmahub_kaggle.endpoint import PAGES, VARIABLE, server
from gemmahub_kaggle.login import HOW

if TYPE_CHECKING:
    from gemmahub_kaggle.handle import Handle

_CHECK = f"check {VARIABLE} and the proxy, which may have answered instead of Kaggle"


class Again(Exception):
    """An answer that may be another one later; ``seconds`` is how long we are told to wait."""

    def __init__(self, error: NetworkError, seconds: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.seconds = seconds


def refused(status: int, said: str, handle: Handle, *, login: bool) -> NetworkError | NotFound:
    """The error for an answer of 4xx or 5xx; ``said`` is the server's own text.

    Kaggle also answers 403 for what does not exist (Kaggle/kaggle-cli issue 548), and for a licence
    that was not accepted: "User has not consented to terms of use" (keras-team/keras-hub issue
    2160).
    """
    name, page = handle.model_name, f"{PAGES}/models/{handle.model_name}"
    said = f" ({one_line(said, 160)})" if said.strip() else ""
    if status == 401 or (status == 403 and not login):
        problem = "does not accept the login" if login else "asks for a login"
        return Gated(f"Kaggle {problem} for {name}{said}", f"{HOW}; accept its licence at {page}")
    if status == 403:
        return Gated(
            f"Kaggle refuses {name}: accept its licence first, or the model does not exist{said}",
            f"accept the licence at {page} with the account of your token, then try again",
        )
    if status == 404:
        return NotFound(f"Kaggle has no {handle.name}{said}", f"see {page}")
    if status == 429:
        return NetworkError("Kaggle limits requests", "try again in a few minutes")
    return NetworkError(
        f"Kaggle refuses {handle.name} (HTTP {status}){said}", "try again later; or check " + page
    )


def odd(problem: str) -> NetworkError:
    """The error for an answer that Kaggle does not give."""
    return NetworkError(f"{server()} sent an invalid answer: {one_line(problem, 160)}", _CHECK)


def untrusted(handle: Handle, problem: str) -> IntegrityError:
    """The error for a listing that is not to be trusted."""
    return IntegrityError(
        f"Kaggle's listing of {handle.name} is refused: {one_line(problem, 200)}",
        f"{_CHECK}",
    )


def changed(name: str, before: int, now: str) -> IntegrityError:
    """The error for a file of another size than the listing says."""
    return IntegrityError(
        f"Kaggle lists {one_line(name, 120)} with {format_bytes(before)}, but its storage has "
        f"{one_line(now, 60)}",
        "try again; if it persists, do not trust this server",
    )


def other_content(name: str, size: int) -> IntegrityError:
    """The error for bytes that have another checksum than the storage says."""
    return IntegrityError(
        f"{one_line(name, 120)} is not what Kaggle's storage says: another MD5; "
        f"{format_bytes(size)} were discarded",
        "pull it again; if that fails again, a proxy or the server damages it",
    )
