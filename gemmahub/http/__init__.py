"""HTTP with limits: what the hub, the registries and the clients of servers talk through.

A server is a stranger. Every answer that is read whole has a limit in bytes, before and after
unpacking; every line of a stream has one; every exchange has a limit in time as well as one on
silence, so that an answer that drips ends too. Secrets go to the origin that they belong to.

::

    with WebClient("http://127.0.0.1:11434") as web:
        answer = web.fetch("GET", "/api/version", limits=Limits(total=1.5, most_bytes=1 << 16))
        version = text_of(object_of(parse_json(answer.body)).get("version"))

Importing this package and its records loads no network library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gemmahub.http.addresses import redirect_target, same_origin
    from gemmahub.http.client import Answer, WebClient
    from gemmahub.http.limits import (
        BadAnswer,
        ConnectFailed,
        ConnectionLost,
        ExchangeError,
        Limits,
        NoAnswer,
        TooLarge,
        TooSlow,
    )
    from gemmahub.http.line_stream import LineStream
    from gemmahub.http.values import (
        NotJson,
        content_range,
        count_of,
        object_of,
        parse_json,
        text_of,
        texts_of,
    )

_HOME: Final = {
    "Answer": "client",
    "BadAnswer": "limits",
    "ConnectFailed": "limits",
    "ConnectionLost": "limits",
    "ExchangeError": "limits",
    "Limits": "limits",
    "LineStream": "line_stream",
    "NoAnswer": "limits",
    "NotJson": "values",
    "TooLarge": "limits",
    "TooSlow": "limits",
    "WebClient": "client",
    "content_range": "values",
    "count_of": "values",
    "object_of": "values",
    "parse_json": "values",
    "redirect_target": "addresses",
    "same_origin": "addresses",
    "text_of": "values",
    "texts_of": "values",
}

__all__ = [
    "Answer",
    "BadAnswer",
    "ConnectFailed",
    "ConnectionLost",
    "ExchangeError",
    "Limits",
    "LineStream",
    "NoAnswer",
    "NotJson",
    "TooLarge",
    "TooSlow",
    "WebClient",
    "content_range",
    "count_of",
    "object_of",
    "parse_json",
    "redirect_target",
    "same_origin",
    "text_of",
    "texts_of",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"gemmahub.http.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
