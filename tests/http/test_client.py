"""Redirects, secrets, and failures in words."""

from __future__ import annotations

import socket

import pytest

from gemmahub.errors import UsageError
from gemmahub.http.addresses import host_of, is_web, same_origin
from gemmahub.http.client import WebClient
from gemmahub.http.limits import BadAnswer, ConnectFailed, ConnectionLost
from tests.http.hostile_server import Conversation, Script, serving

SECRET = {"Authorization": "Bearer secret"}


def to(place: str) -> Script:
    return lambda there: there.answer(status="307 Temporary Redirect", Location=place)


@pytest.mark.parametrize(
    "place",
    [
        "file:///etc/passwd",
        "http://",
        "http://[bad",
        "http://h:99999/",
        "ftp://h/",
        "data:,x",
        "//",
    ],
)
def test_a_redirect_to_what_is_not_a_web_address(place: str) -> None:
    with serving(to(place)) as server, WebClient(server.url) as web, pytest.raises(BadAnswer):
        web.fetch("GET", "/", redirects=5)


def test_redirects_are_counted() -> None:
    with serving(to("/again")) as server, WebClient(server.url) as web:
        with pytest.raises(BadAnswer, match="redirects endlessly"):
            web.fetch("GET", "/", redirects=5)
        assert len(server.asked) == 6


def test_without_leave_nothing_is_followed() -> None:
    with serving(to("/again")) as server, WebClient(server.url) as web:
        assert web.fetch("GET", "/").status == 307
        assert len(server.asked) == 1


def test_a_secret_stays_with_its_own_origin() -> None:
    def script(there: Conversation) -> None:
        place = "/here" if there.path == "/" else there.server.url.replace("127.0.0.1", "localhost")
        if there.path in ("/", "/here"):
            there.answer(status="302 Found", Location=f"{place}/there" if "//" in place else place)
        else:
            there.answer(b"done")

    with serving(script) as server, WebClient(server.url, secrets=SECRET) as web:
        answer = web.fetch("GET", "/", redirects=5)
        assert (answer.status, answer.body) == (200, b"done")
        assert answer.url.startswith("http://localhost")
        assert ["bearer secret" in asked for asked in server.asked] == [True, True, False]


def test_a_login_in_an_address_is_never_shown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with (
        WebClient(f"http://me:secret@127.0.0.1:{port}", proxies=False) as web,
        pytest.raises(ConnectFailed, match="cannot be reached") as failure,
    ):
        web.fetch("GET", "/")
    assert "secret" not in failure.value.message + failure.value.hint


def test_a_connection_that_breaks_is_reported() -> None:
    def script(there: Conversation) -> None:
        raise OSError

    with (
        serving(script) as server,
        WebClient(server.url) as web,
        pytest.raises(ConnectionLost, match="broke"),
    ):
        web.fetch("GET", "/")


def test_closed_by_another_thread_before_the_request() -> None:
    with serving(lambda there: there.answer(b"done")) as server, WebClient(server.url) as web:
        web._open().close()  # what close() of another thread does between two steps of fetch()
        with pytest.raises(ConnectionLost, match="was closed"):
            web.fetch("GET", "/")
        web.close()
        assert web.fetch("GET", "/").body == b"done"


def test_an_address_that_cannot_be() -> None:
    with WebClient() as web, pytest.raises(BadAnswer, match="cannot be contacted"):
        web.fetch("GET", "http://" + "a" * 70_000)


def test_a_proxy_of_an_unknown_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://x")
    with WebClient() as web, pytest.raises(UsageError, match="proxy"):
        web.fetch("GET", "http://127.0.0.1:9/")


def test_addresses_are_compared_by_origin() -> None:
    assert same_origin("https://a/x", "https://a:443/y")
    assert not same_origin("https://a", "http://a")
    assert not same_origin("http://a:80", "http://a:81")
    assert not same_origin("http://a", "http://a.b")
    assert is_web("http://[::1]:8/x")
    assert host_of("http://u:p@h:8/x") == "h:8"
    assert host_of("http://[bad") == "the server"
