"""Requests to servers: answers as streams or read whole, redirects bounded, errors in words."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

from gemmahub.errors import UsageError
from gemmahub.http.addresses import host_of, redirect_target, same_origin
from gemmahub.http.bodies import read_whole
from gemmahub.http.limits import BadAnswer, ConnectFailed, ConnectionLost, Limits, NoAnswer
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import httpx2

    from gemmahub.http.limits import Patience

_DEFAULT: Final = Limits()


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """An answer that was read whole. ``headers`` by lower-case names; ``url`` is who gave it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class WebClient:
    """Asks servers. Nothing is connected until it is used; several threads may share it.

    ``base`` goes before addresses that begin with a slash; ``headers`` go to every server,
    ``secrets`` (a login) only to the origin of ``base``. ``proxies``: those of the environment.
    ``keep_alive``: connections are used again.

    Methods raise ExchangeError and its subclasses; UsageError for a proxy setting that cannot be.
    """

    def __init__(
        self,
        base: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        proxies: bool = True,
        keep_alive: bool = True,
    ) -> None:
        self.base = base
        self._headers = {"Accept-Encoding": "identity", **(headers or {})}
        self._secrets = dict(secrets or {})
        self._proxies = proxies
        self._keep_alive = keep_alive
        self._lock = Lock()
        self._http: httpx2.Client | None = None

    def close(self) -> None:
        """Give back connections; it can be used again, and twice is fine."""
        with self._lock:
            http, self._http = self._http, None
        if http is not None:
            http.close()

    def __enter__(self) -> WebClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def fetch(
        self,
        method: str,
        url: str,
        *,
        limits: Limits = _DEFAULT,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        redirects: int = 0,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> WebAnswer:
        """An answer of any status, read whole; ``redirects`` is how often it may send on.

        Raises: TooLarge, TooSlow, NoAnswer, ConnectFailed, ConnectionLost, BadAnswer.
        """
        patience = limits.patience(host_of(self.address(url)))
        with self.open(
            method, url, patience=patience, content=content, headers=headers, redirects=redirects
        ) as response:
            body = read_whole(response, limits.most_bytes, on_bytes)
            return WebAnswer(response.status_code, response.headers, body, str(response.url))

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        *,
        patience: Patience,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        redirects: int = 0,
    ) -> Iterator[httpx2.Response]:
        """An answer whose body is not read yet. httpx2's errors in the block are put into words.

        Raises: as :meth:`fetch`.
        """
        import httpx2

        url = self.address(url)
        timeout = httpx2.Timeout(patience)
        with in_words(url):
            for _ in range(redirects + 1):
                sent = {**self._headers, **self._secrets_for(url), **(headers or {})}
                http = self._open()
                request = http.build_request(
                    method, url, content=content, headers=sent, timeout=timeout
                )
                try:
                    response = http.send(request, stream=True, follow_redirects=False)
                except RuntimeError as error:
                    if not http.is_closed:
                        raise
                    raise ConnectionLost(  # httpx2 has no exception of its own for it
                        f"the connection to {host_of(url)} was closed", "try again"
                    ) from error
                try:
                    target = redirect_target(response, url) if redirects else None
                    if target is None:
                        yield response
                        return
                finally:
                    response.close()
                if not target:
                    raise BadAnswer(
                        f"{host_of(url)} redirects to something that is not a web address",
                        "check the address and the proxy",
                    )
                url = target
            raise BadAnswer(
                f"{host_of(url)} redirects endlessly", "check the address and the proxy"
            )

    def address(self, url: str) -> str:
        """The whole address of one that may begin with a slash."""
        return self.base + url if url.startswith("/") else url

    def _secrets_for(self, url: str) -> dict[str, str]:
        return self._secrets if self._secrets and same_origin(url, self.base) else {}

    def _open(self) -> httpx2.Client:
        """The connections, made when they are needed."""
        with self._lock:
            if self._http is None:
                self._http = self._connections()
            return self._http

    def _connections(self) -> httpx2.Client:
        import httpx2

        from gemmahub.http.network import limit

        kept = httpx2.Limits(max_keepalive_connections=None if self._keep_alive else 0)
        try:
            return limit(httpx2.Client(trust_env=self._proxies, limits=kept))
        except (ValueError, ImportError) as error:  # a proxy of an unknown kind
            raise UsageError(
                f"a proxy setting cannot be used: {type(error).__name__}",
                "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY; SOCKS proxies need the package socksio",
            ) from error


@contextmanager
def in_words(url: str) -> Iterator[None]:
    """httpx2's errors as those of this package. Raises: ExchangeError."""
    import httpx2

    host = host_of(url)
    try:
        yield
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise BadAnswer(
            f"{host} cannot be contacted: {_reason(error)}", "check the address"
        ) from error
    except httpx2.ProxyError as error:
        raise ConnectFailed(
            f"the proxy for {host} refused: {_reason(error)}", "check HTTPS_PROXY and NO_PROXY"
        ) from error
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise ConnectFailed(
            f"{host} cannot be reached: {_reason(error)}",
            "check the address and the connection (HTTPS_PROXY); installed models work offline",
        ) from error
    except httpx2.TimeoutException as error:
        raise NoAnswer(f"{host} does not answer", "try again; check HTTPS_PROXY") from error
    except httpx2.HTTPError as error:
        raise ConnectionLost(
            f"the connection to {host} broke: {_reason(error)}", "try again"
        ) from error


def _reason(error: Exception) -> str:
    return one_line(str(error) or type(error).__name__, 120)
