"""Requests to the hub: huggingface_hub's own session, with retries, waits and counted bytes.

Session, proxies, certificates and login are huggingface_hub's (``get_session``,
``get_token_to_send``). The login goes to the endpoint's own origin and nowhere else. Its
``build_hf_headers`` is not used: it asks the hub a question of its own, whose answer has no limit.
Nor is ``HfApi``: it reads answers whole, without a limit in bytes or in time.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gemmahub.errors import GemmahubError, UsageError
from gemmahub.http.addresses import REDIRECTS, same_origin
from gemmahub.http.bodies import read_whole
from gemmahub.http.limits import Patience, TooSlow
from gemmahub.hub import failures
from gemmahub.hub.addresses import endpoint_of, redirect_of
from gemmahub.hub.answers import network_failure, parsed, told_wait
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx2

_T = TypeVar("_T")

_TRIES: Final = 4  # in a row, without a byte that is new
_TRIES_IN_ALL: Final = 40
_TOLD_WAITS: Final = 5
_LONGEST_WAIT: Final = 900.0  # seconds; the hub's windows last 300
_LONGEST_PAUSE: Final = 8.0
_LARGEST_JSON: Final = 16 << 20  # bytes: about 40,000 files with sizes and hashes
_SPARE: Final = 2.0  # seconds for a whole answer beyond the silence that is allowed
_LARGEST_PART: Final = 16 << 20  # bytes; a part of a file up to this has to come in its time
_SLOWEST_PART: Final = 4096  # bytes a second
_TRICKLES: Final = 2  # in a row: what a line brings in one is no sign that it works
_MUCH: Final = 1 << 20  # bytes that are
_AGAIN: Final = frozenset({408, 500, 502, 503, 504})
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})


@dataclass(slots=True)
class Traffic:
    """What was moved so far: requests that were sent, bytes of bodies that came."""

    requests: int = 0
    received_bytes: int = 0


class Later(Exception):
    """An answer that may be another one later; ``seconds`` is how long we are told to wait."""

    def __init__(self, error: GemmahubError, seconds: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.seconds = seconds


class HubClient:
    """A hub, and how to ask it.

    ``endpoint`` is its address (default: HF_ENDPOINT, else huggingface.co); ``token`` a login in
    place of the stored one, False for none; ``say`` hears about waits and retries, one line each;
    ``wait`` sleeps for a number of seconds; ``timeout`` is how long a silence may last, in seconds
    (default: HF_HUB_DOWNLOAD_TIMEOUT, else 10), and an answer that is read whole may take 2 seconds
    more; ``tries`` how often a request is tried that brings nothing (default: 4). Several threads
    may use one client.

    Raises: UsageError for an endpoint that is no web address.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        token: str | bool | None = None,
        say: Callable[[str], None] | None = None,
        wait: Callable[[float], None] = time.sleep,
        timeout: float | None = None,
        tries: int | None = None,
    ) -> None:
        self.endpoint = endpoint_of(endpoint or os.environ.get("HF_ENDPOINT"))
        self.traffic = Traffic()
        self._lock = Lock()
        self._token = token
        self._say = say or (lambda line: None)
        self._wait = wait
        self._timeout = timeout
        self._most_tries = tries or _TRIES
        self._headers: dict[str, str] | None = None

    def json(
        self, path: str, repository: str, what: str, params: Mapping[str, Any] | None = None
    ) -> Any:
        """The JSON answer for ``path`` (from ``/api`` on).

        Raises: NotFound, Gated, NetworkError.
        """

        def ask() -> Any:
            url = self.endpoint + path
            query, patience = params, self._patience(url)
            for _ in range(REDIRECTS):
                with self.send("GET", url, params=query, patience=patience) as response:
                    target = redirect_of(response, url)
                    if target is None:
                        self.check(response, repository, what)
                        body = read_whole(response, _LARGEST_JSON, self.count)
                        return parsed(body, url)
                url, query = target, None  # the target carries its own query
            raise failures.odd_answer(url, "it redirects endlessly")

        return self.patiently(ask, self.endpoint)

    def patiently(
        self, call: Callable[[], _T], url: str, progress: Callable[[], int] = lambda: 0
    ) -> _T:
        """``call``, again where that may help: lost connections, 5xx, rate limits.

        ``progress`` grows when something new arrived, which starts the count of tries afresh.
        """
        import httpx2

        tries = waits = all_tries = 0
        reached = progress()
        while True:
            most, enough = self._most_tries, 1
            try:
                return call()
            except Later as later:
                error, seconds = later.error, later.seconds
            except TooSlow as slow:
                if not slow.transfer:
                    raise
                error, seconds = slow, None
                most, enough = min(_TRICKLES, most), _MUCH
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as problem:
                seconds = None
                error = network_failure(problem, url)
            if seconds is not None:
                waits += 1
                self._wait_as_told(url, seconds, waits)
                continue
            if (now := progress()) >= reached + enough:
                tries, reached = 0, now
            tries, all_tries = tries + 1, all_tries + 1
            if tries >= most or all_tries >= _TRIES_IN_ALL:
                raise error
            pause = min(0.5 * 2 ** (tries - 1), _LONGEST_PAUSE)
            self._say(f"{error.message}; trying again in {pause:g} s")
            self._wait(pause)

    def _wait_as_told(self, url: str, seconds: float, waits: int) -> None:
        if waits > _TOLD_WAITS or seconds > _LONGEST_WAIT:
            raise failures.too_many(url, seconds)
        self._say(f"{failures.host_of(url)} limits requests: waiting {seconds:,.0f} s")
        self._wait(seconds)

    @contextlib.contextmanager
    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        length: int = 0,
        patience: Patience | None = None,
    ) -> Iterator[httpx2.Response]:
        """One request as it is: no retry, no redirect, the body not read yet.

        ``length``: bytes that were asked for, 0 for an answer that is read whole. More than 16 MiB
        have no limit in time, but a floor; less have 4 KiB a second. ``patience``: a clock that
        runs already, for one of several requests. Raises: TooSlow.
        """
        import httpx2

        if is_offline():
            raise failures.offline()
        patience = patience or self._patience(url)
        sent = {**self._headers_for(url), "Accept-Encoding": "identity", **(headers or {})}
        with self._lock:
            self.traffic.requests += 1
        with _session().stream(
            method,
            url,
            headers=sent,
            params=dict(params) if params else None,
            follow_redirects=False,
            timeout=httpx2.Timeout(patience),
        ) as response:
            if length > 0:
                patience.as_transfer()
                in_time = float(patience) + _SPARE + length / _SLOWEST_PART
                patience.within(in_time if length <= _LARGEST_PART else None)
            yield response

    def check(self, response: httpx2.Response, repository: str, what: str) -> None:
        """Raises what an answer of 4xx or 5xx means; :class:`Later` where it may change."""
        status = response.status_code
        if status < 400:
            return
        url = str(response.request.url)
        said = {name: self._without_token(value) for name, value in response.headers.items()}
        if status in (401, 403):
            self._headers = None  # the next try takes a login that came meanwhile
        error = failures.refused(status, said, url, self.endpoint, repository, one_line(what, 120))
        if status == 429 or (status == 503 and "retry-after" in said):
            raise Later(error, told_wait(said))
        if status in _AGAIN:
            raise Later(error)
        raise error

    def count(self, length: int) -> None:
        """Counts bytes of a body that came."""
        with self._lock:
            self.traffic.received_bytes += length

    def _headers_for(self, url: str) -> dict[str, str]:
        """The headers of each request; the login only for the endpoint's own origin."""
        if self._headers is None:
            from huggingface_hub.utils import get_token_to_send

            token = get_token_to_send(self._token)
            if token and not (token.isascii() and token.isprintable()):
                raise failures.strange_login()
            login = {"authorization": f"Bearer {token}"} if token else {}
            self._headers = {"user-agent": _user_agent(), **login}
        if same_origin(url, self.endpoint):
            return self._headers
        return {k: v for k, v in self._headers.items() if k.lower() != "authorization"}

    def _without_token(self, text: str) -> str:
        token = (self._headers or {}).get("authorization", "").removeprefix("Bearer ")
        return text.replace(token, "***") if token else text

    def _patience(self, url: str) -> Patience:
        """The clock of one exchange."""
        silence = self._timeout
        if silence is None:
            from huggingface_hub import constants

            silence = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
        hint = "try again; HF_HUB_DOWNLOAD_TIMEOUT=60 waits longer"
        return Patience(silence, failures.host_of(url), total=silence + _SPARE, hint=hint)


def _user_agent() -> str:
    import platform

    import huggingface_hub

    from gemmahub import __version__

    python = platform.python_version()
    return f"gemmahub/{__version__}; hf_hub/{huggingface_hub.__version__}; python/{python}"


def _session() -> httpx2.Client:
    from huggingface_hub.utils import get_session

    from gemmahub.http.network import limit

    try:
        return limit(get_session())
    except (ValueError, ImportError) as error:  # a proxy of an unknown kind, or one that needs more
        raise UsageError(
            f"a proxy setting cannot be used: {type(error).__name__}",
            "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY; SOCKS proxies need the package socksio",
        ) from error


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE (or Transformers' own switch) forbids requests, as it stands now."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in _TRUE
