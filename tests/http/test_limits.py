"""Limits in time: of an answer, a line, a transfer, wherever a server can be slow."""

from __future__ import annotations

import pickle
import socket
import threading

import pytest

from gemmahub.errors import NetworkError
from gemmahub.http.client import WebClient
from gemmahub.http.limits import (
    FLOOR_BYTES,
    FLOOR_SECONDS,
    ConnectFailed,
    Limits,
    NoAnswer,
    Patience,
    TooSlow,
)
from gemmahub.http.line_stream import LineStream
from tests.http.hostile_server import DRIPS, OK, Conversation, Script, dripping, serving

SHORT = Limits(silence=20.0, total=0.3)


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS)
def test_an_answer_that_drips_ends(script: Script) -> None:
    with (
        serving(script) as server,
        WebClient(server.url) as web,
        pytest.raises(TooSlow, match=r"too slowly: more than 0\.3 s"),
    ):
        web.fetch("GET", "/", limits=SHORT)


def test_a_connection_that_is_used_again_drips_and_ends() -> None:
    def script(there: Conversation) -> None:
        if there.path == "/slow":
            DRIPS["body"](there)
        else:
            there.answer(b"fine")

    with serving(script) as server, WebClient(server.url) as web:
        assert web.fetch("GET", "/").body == b"fine"
        with pytest.raises(TooSlow):
            web.fetch("GET", "/slow", limits=SHORT)
        assert web.fetch("GET", "/").body == b"fine"


def test_redirects_share_one_limit() -> None:
    def script(there: Conversation) -> None:
        there.server.over.wait(0.1)
        there.answer(status="302 Found", Location=f"/{len(there.server.asked)}")

    with serving(script) as server, WebClient(server.url) as web, pytest.raises(TooSlow):
        web.fetch("GET", "/", limits=SHORT, redirects=1000)


@pytest.mark.parametrize("first", [b"", OK, OK + b"Content-Length: 9\r\n\r\n1234"])
def test_silence_is_distinguished_from_slowness(first: bytes) -> None:
    def script(there: Conversation) -> None:
        there.send(first)
        there.wait()

    with (
        serving(script) as server,
        WebClient(server.url) as web,
        pytest.raises(NoAnswer, match="does not answer"),
    ):
        web.fetch("GET", "/", limits=Limits(silence=0.2, total=20.0))


def test_silence_for_the_whole_time_is_silence() -> None:
    with (
        serving(lambda there: there.wait()) as server,
        WebClient(server.url) as web,
        pytest.raises(NoAnswer),
    ):
        web.fetch("GET", "/", limits=SHORT)


def test_a_line_that_drips_ends_and_one_of_blanks_counts_as_none() -> None:
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n"
    for piece in (b"1\r\n{\r\n", b"1\r\n\n\r\n"):
        with serving(dripping(chunked, piece)) as server, WebClient(server.url) as web:
            stream = LineStream(web, "GET", "/", None, SHORT)
            lines = stream.lines()
            assert next(lines) == b"one"
            with pytest.raises(TooSlow):
                next(lines)


def test_a_silent_stream_is_stopped_from_another_thread() -> None:
    waiting = threading.Event()

    def script(there: Conversation) -> None:
        waiting.set()
        there.wait()

    with serving(script) as server, WebClient(server.url) as web:
        stream = LineStream(web, "GET", "/", None, Limits(silence=60.0, total=60.0))
        found: list[bytes] = []
        reader = threading.Thread(target=lambda: found.extend(stream.lines()))
        reader.start()
        assert waiting.wait(10)
        stream.stop()
        reader.join(10)
        assert not reader.is_alive()
        assert found == []
        assert list(stream.lines()) == []


def test_each_line_has_its_own_time() -> None:
    clock = Clock()
    patience = Patience(5.0, "host", total=7.0, clock=clock)
    assert patience.left() == 5.0
    clock.now = 6.0
    assert patience.left() == 1.0
    patience.within(7.0)
    clock.now = 100.0
    assert patience.left() == 5.0, "the clock starts with the first wait"
    clock.now = 107.0
    with pytest.raises(TooSlow):
        patience.left()
    patience.within(None)
    assert patience.left() == 5.0


def test_a_trickle_is_below_the_floor_and_a_stall_is_not() -> None:
    patience = Patience(10.0, "host")
    patience.moved(1, FLOOR_SECONDS + 1)  # not a transfer yet
    patience.as_transfer()
    patience.moved(FLOOR_BYTES, FLOOR_SECONDS + 1)
    patience.moved(1400, 9.0)
    for _ in range(4):
        patience.moved(1, FLOOR_SECONDS / 5)
    with pytest.raises(TooSlow, match="only 5 B in 5 s") as failure:
        patience.moved(1, FLOOR_SECONDS / 5)
    assert failure.value.transfer
    assert "kept" in failure.value.hint


def test_a_transfer_that_trickles_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemmahub.http.limits.FLOOR_SECONDS", 0.1)
    with serving(DRIPS["body"]) as server, WebClient(server.url) as web:
        patience = Patience(20.0, "host", total=None)
        with web.open("GET", "/", patience=patience) as response:
            patience.as_transfer()
            with pytest.raises(TooSlow, match="only"):
                list(response.iter_raw())


def test_a_name_that_is_not_found_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(60) and [])
    try:
        with (
            WebClient("http://some.where", proxies=False) as web,
            pytest.raises(ConnectFailed, match="was not found in time"),
        ):
            web.fetch("GET", "/", limits=Limits(silence=0.1, total=0.2))
    finally:
        over.set()


def test_a_name_with_many_addresses_has_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that answers is taken, and all of them share the time."""
    import httpcore2

    from gemmahub.http.network import LimitedBackend

    tried: list[str] = []
    clock = Clock()

    class Backend(httpcore2.NetworkBackend):
        def connect_tcp(self, host: str, *_: object, **__: object) -> httpcore2.NetworkStream:
            tried.append(host)
            clock.now += 1.0
            raise httpcore2.ConnectTimeout

    places = [(socket.AF_INET, 1, 6, "", (f"192.0.2.{n}", 80)) for n in range(1, 200)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    patience = Patience(1.0, "host", total=3.0, clock=clock)
    with pytest.raises(TooSlow):
        LimitedBackend(Backend()).connect_tcp("host", 80, timeout=patience)
    assert len(tried) == 3


def test_the_errors_are_network_errors_that_travel_between_processes() -> None:
    error = TooSlow("slow", "wait", transfer=True)
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, TooSlow)
    assert isinstance(again, NetworkError)
    assert (again.message, again.hint, again.transfer, again.exit_code) == ("slow", "wait", True, 6)
