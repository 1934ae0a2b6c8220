"""What the hub's answers say: JSON, how long to wait, and what a try that failed means."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from gemmahub.http.values import NotJson, parse_json
from gemmahub.hub import failures
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

    from gemmahub.errors import GemmahubError

_MOST_VALUES: Final = 1_000_000


def told_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a rate limit says to wait: ``RateLimit`` (IETF draft), else ``Retry-After``."""
    from huggingface_hub.utils import parse_ratelimit_headers

    try:
        limit = parse_ratelimit_headers(headers)
        if limit is not None and limit.remaining == 0:
            return max(float(limit.reset_in_seconds + 1), 0.0)  # the hub rounds down
        value = headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return float(value[:19])
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, IndexError, OverflowError, OSError):  # no number, no date
        return None


def network_failure(problem: Exception, url: str) -> GemmahubError:
    """What a try that failed means; raises where another try would not help."""
    import httpx2

    if isinstance(problem, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
        raise failures.odd_answer(url, one_line(str(problem), 80)) from problem
    if isinstance(problem, httpx2.ProxyError):
        raise failures.unreachable(url, problem) from problem
    if isinstance(problem, httpx2.TransportError | httpx2.DecodingError):
        error = failures.unreachable(_asked(problem) or url, problem)
        error.__cause__ = problem
        return error
    if isinstance(problem, ConnectionError):  # huggingface_hub's OfflineModeIsEnabled
        raise failures.offline() from problem
    raise problem


def _asked(problem: httpx2.RequestError) -> str:
    """The address of the request that failed: it may be the CDN's. "" where it is not known."""
    try:
        return str(problem.request.url)
    except RuntimeError:
        return ""


def parsed(raw: bytes, url: str) -> Any:
    try:
        return parse_json(raw, _MOST_VALUES)
    except NotJson as error:
        raise failures.odd_answer(url, str(error)) from error
