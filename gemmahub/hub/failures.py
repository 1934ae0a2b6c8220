"""What goes wrong between here and the hub, as errors that say what to do next.

The hub tells its failures by status and by the header ``X-Error-Code``
(huggingface_hub ``utils/_http.py``, ``hf_raise_for_status``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gemmahub.errors import (
    Gated,
    GemmahubError,
    NetworkError,
    NotFound,
    RangesIgnored,
    UsageError,
)
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGIN: Final = "hf auth login"
LOGIN_VARIABLES: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_OFFLINE_HINT: Final = (
    "installed models still work (gemmahub list); unset HF_HUB_OFFLINE to reach the hub"
)
_AGAIN: Final = "try again; nothing that arrived is lost"


def host_of(url: str) -> str:
    """The host of a URL, without credentials or query, for messages."""
    return one_line(urlsplit(url).hostname or "the server", 80)


def without_login(url: str) -> str:
    """The same address without user and password, for messages."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def strange_login() -> UsageError:
    """The error for a login with letters that no header of a request can carry."""
    kept = "the saved login"
    where = next((name for name in LOGIN_VARIABLES if os.environ.get(name)), kept)
    again = f"log in again: {LOGIN}" if where == kept else f"set {where} again, or unset it"
    return UsageError(f"{where} has characters that no token has; nothing was sent", again)


def offline() -> NetworkError:
    """The error for a request that HF_HUB_OFFLINE forbids."""
    return NetworkError("the hub was not contacted: HF_HUB_OFFLINE is set", _OFFLINE_HINT)


def unreachable(url: str, error: Exception) -> NetworkError:
    """The error for a connection that failed or broke, after all tries."""
    import httpx2

    host, reason = host_of(url), one_line(str(error) or type(error).__name__, 120)
    if isinstance(error, httpx2.ProxyError):
        return NetworkError(
            f"the proxy for {host} refused: {reason}", "check HTTPS_PROXY and NO_PROXY"
        )
    if isinstance(error, httpx2.TimeoutException):
        return NetworkError(
            f"{host} stopped answering", f"{_AGAIN}; HF_HUB_DOWNLOAD_TIMEOUT=60 waits longer"
        )
    if "CERTIFICATE" in reason.upper():
        return NetworkError(
            f"the certificate of {host} is not trusted: {reason}",
            "behind a company proxy, set SSL_CERT_FILE to its certificate",
        )
    if isinstance(error, httpx2.ConnectError):
        return NetworkError(
            f"{host} cannot be reached: {reason}",
            "check the connection (HTTPS_PROXY, HF_ENDPOINT); installed models work offline",
        )
    return NetworkError(f"the connection to {host} broke: {reason}", _AGAIN)


def refused(
    status: int, headers: Mapping[str, str], url: str, endpoint: str, repository: str, what: str
) -> GemmahubError:
    """The error for an answer of 4xx or 5xx. ``what`` is what was asked for."""
    code = headers.get("x-error-code", "")
    said = one_line(headers.get("x-error-message", ""), 160)
    page = f"{without_login(endpoint)}/{repository}"
    if code == "GatedRepo":
        return _gated(status, repository, page)
    if code == "RevisionNotFound":
        return NotFound(f"{repository} has no such revision: {what}", f"its branches: {page}/tree")
    if code == "EntryNotFound":
        return NotFound(f"{repository} has no file {what}", f"its files: {page}/tree/main")
    if status == 401 and ("credential" in said.lower() or "token" in said.lower()):
        return NetworkError(
            f"{host_of(endpoint)} rejected the login: {said}",
            f"log in again: {LOGIN}; or unset HF_TOKEN to go without",
        )
    if repository and (code == "RepoNotFound" or status in (401, 404)):
        return NotFound(
            f"there is no repository {repository} on {host_of(endpoint)}, or it is private",
            f"check the name (gemmahub search), or log in if it is private: {LOGIN}",
        )
    if status == 403:
        return NetworkError(
            f"{host_of(url)} refused {what} of {repository}: {said or 'forbidden'}",
            f"see {page}; a login may help: {LOGIN}",
        )
    if status == 429:
        return NetworkError(
            f"{host_of(url)} limits requests, even after several tries",
            f"try again in a few minutes; a login raises the limit: {LOGIN}",
        )
    if status == 407:
        return NetworkError("the proxy wants a login", "put it into HTTPS_PROXY")
    if status >= 500:
        return NetworkError(
            f"{host_of(url)} has a problem (HTTP {status}): {said or 'no reason given'}",
            "try again later; see https://status.huggingface.co",
        )
    return NetworkError(
        f"{host_of(url)} refuses {what} (HTTP {status}){': ' + said if said else ''}",
        f"see {page}",
    )


def _gated(status: int, repository: str, page: str) -> Gated:
    if status == 401:
        return Gated(
            f"{repository} is gated: it asks for a login and for accepting its licence",
            f"accept the licence at {page}, then log in here: {LOGIN}",
        )
    return Gated(
        f"{repository} is gated: this account has not accepted its licence, or waits for approval",
        f"accept the licence at {page}; another account: {LOGIN}",
    )


def too_many(url: str, seconds: float) -> NetworkError:
    """The error for a rate limit that lasts longer than we wait."""
    return NetworkError(
        f"{host_of(url)} limits requests: wait {seconds:,.0f} s",
        f"try again then; a login raises the limit: {LOGIN}",
    )


def ignores_ranges(url: str, name: str, size: str) -> RangesIgnored:
    """The error for a server that would send a whole file for a part of it."""
    return RangesIgnored(
        f"{host_of(url)} ignores byte ranges: it would send all {size} of {one_line(name, 120)}",
        "inspect it after downloading it (gemmahub pull), or use another endpoint (HF_ENDPOINT)",
    )


def changed(name: str, what: str) -> NetworkError:
    """The error for a file that is another one than it was a moment ago."""
    return NetworkError(
        f"{one_line(name, 120)} changed while it was read: {what}",
        "try again: the new version is read from its beginning",
    )


def no_commit(url: str, name: str) -> NetworkError:
    """The error for a server that does not say to which commit of a repository a file belongs."""
    return NetworkError(
        f"the answer of {host_of(url)} for {one_line(name, 120)} lacks the header "
        "X-Repo-Commit, which states the version of the file; nothing was downloaded",
        "unset HF_ENDPOINT, or set it to a mirror that hands on X-Repo-Commit, X-Linked-Etag "
        "and X-Linked-Size after its redirects; its operator can correct that",
    )


def odd_answer(url: str, problem: str) -> NetworkError:
    """The error for an answer that no hub gives."""
    return NetworkError(
        f"{host_of(url)} sent an invalid answer: {problem}",
        "try again; check HF_ENDPOINT and the proxy, which may have answered instead of the hub",
    )


def no_drafter(name: str) -> NotFound:
    """What to raise where the catalogue names no head that drafts for a model."""
    return NotFound(
        f"no draft head of {one_line(name)} is known",
        "leave out --draft; gemmahub run MODEL --drafter FILE uses a file that you have",
    )
