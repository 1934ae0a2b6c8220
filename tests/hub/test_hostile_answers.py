"""A hub that drips, bombs, or never ends: what the client takes of it, and for how long."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.errors import GemmahubError, NetworkError
from gemmahub.hub.answers import told_wait
from gemmahub.hub.client import HubClient
from gemmahub.hub.records import HubFile
from gemmahub.hub.remote_file import RangedFile
from gemmahub.hub.source import Hub
from tests.http.hostile_server import DRIPS, OK, Conversation, Script, endless, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = HubFile("user/repo", "c" * 40, "m.gguf", 1 << 30)
HEAD = OK + b"X-Repo-Commit: " + b"c" * 40 + b"\r\n"


@pytest.fixture(autouse=True)
def _own_session(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import huggingface_hub

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


def client(url: str, waits: list[float], said: list[str], timeout: float = 10.0) -> HubClient:
    return HubClient(endpoint=url, token=False, say=said.append, wait=waits.append, timeout=timeout)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole answer has hardly more time than none."""
    monkeypatch.setattr("gemmahub.hub.client._SPARE", -9.7)


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS)
def test_a_listing_that_drips_ends_and_is_not_asked_for_again(
    script: Script, brief: None, waits: list[float], said: list[str]
) -> None:
    with serving(script) as server:
        with pytest.raises(NetworkError, match="too slowly") as failure:
            client(server.url, waits, said).json("/api/models/a/b", "a/b", "x")
        assert len(server.asked) == 1
    assert waits == []
    assert "HF_HUB_DOWNLOAD_TIMEOUT" in failure.value.hint
    assert failure.value.exit_code == 6


def test_a_hub_that_drips_from_the_second_request_on(
    brief: None, waits: list[float], said: list[str]
) -> None:
    """The connection of the first is used again."""

    def script(there: Conversation) -> None:
        if len(there.server.asked) == 1:
            there.answer(b"[]")
        else:
            DRIPS["body"](there)

    with serving(script) as server:
        hub = client(server.url, waits, said)
        assert hub.json("/api/models", "", "x") == []
        with pytest.raises(NetworkError, match="too slowly"):
            hub.json("/api/models", "", "x")


def test_connections_from_before_are_not_used(
    brief: None, waits: list[float], said: list[str]
) -> None:
    """The session is huggingface_hub's, and somebody else may have used it."""
    from huggingface_hub.utils import get_session

    def script(there: Conversation) -> None:
        if there.path == "/before":
            there.answer(b"{}")
        else:
            DRIPS["body"](there)

    with serving(script) as server:
        get_session().get(f"{server.url}/before")
        with pytest.raises(NetworkError, match="too slowly"):
            client(server.url, waits, said).json("/api/models", "", "x")


@pytest.mark.parametrize(
    "script",
    [
        endless(b" " * 65536),
        endless(b"[" * 65536),
        lambda there: there.answer(gzip.compress(bytes(64 << 20)), Content_Encoding="gzip"),
        lambda there: there.answer(b"[" * 200_000),
        lambda there: there.answer(b'{"sha": ' + b"9" * 5000 + b"}"),
        lambda there: there.answer(b"[" + b"[]," * 1_000_001 + b"1]"),
    ],
    ids=["blanks", "brackets", "bomb", "deep", "digits", "values"],
)
def test_a_listing_that_is_too_much_is_refused_in_words(
    script: Script, waits: list[float], said: list[str]
) -> None:
    with serving(script) as server:
        with pytest.raises(NetworkError, match=r"more than 16\.8 MB|not JSON"):
            client(server.url, waits, said).json("/api/models/a/b", "a/b", "x")
        assert server.sent < 100 << 20
    assert waits == []


def test_only_what_was_asked_for_is_asked(waits: list[float], said: list[str]) -> None:
    """huggingface_hub asks for a list of its own with each new set of headers."""
    with serving(lambda there: there.answer(b"[]")) as server:
        client(server.url, waits, said).json("/api/models", "", "x")
        assert [asked.split(" ")[1] for asked in server.asked] == ["/api/models"]
        assert "user-agent: gemmahub/" in server.asked[0]


# --- bytes of files -----------------------------------------------------------------------------


def part(begin: int, end: int) -> bytes:
    """The head of an answer with these bytes of the file."""
    return (
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n"
        b"Content-Range: bytes %d-%d/%d\r\n\r\n" % (end - begin, begin, end - 1, FILE.size)
    )


def test_a_file_that_trickles_is_requested_once_more_and_keeps_what_came(
    monkeypatch: pytest.MonkeyPatch, waits: list[float], said: list[str]
) -> None:
    monkeypatch.setattr("gemmahub.http.limits.FLOOR_SECONDS", 0.1)

    def script(there: Conversation) -> None:
        if there.asked.startswith("head"):
            there.send(HEAD + b"Content-Length: 1073741824\r\n\r\n")
            return
        begin = int(there.asked.partition("range: bytes=")[2].partition("-")[0])
        there.send(part(begin, FILE.size))
        there.forever(iter(lambda: b"x", b""), pause=0.02)

    came: list[bytes] = []
    with serving(script) as server:
        hub = client(server.url, waits, said)
        source = RangedFile(hub, FILE)

        def run() -> None:
            begin = sum(map(len, came))
            for piece in source.pieces(begin, FILE.size):
                came.append(piece)

        with pytest.raises(NetworkError, match=r"only .* in") as failure:
            hub.patiently(run, server.url, lambda: sum(map(len, came)))
        ranges = [asked for asked in server.asked if asked.startswith("get")]
    assert len(ranges) == 2
    assert waits == [0.5]
    assert "trying again" in said[0]
    assert came
    assert "kept" in failure.value.hint


def test_the_header_of_a_file_has_to_come_in_its_time(
    monkeypatch: pytest.MonkeyPatch, brief: None, waits: list[float], said: list[str]
) -> None:
    """Fast enough for the floor, too slow for a part that is read whole."""
    monkeypatch.setattr("gemmahub.hub.client._SLOWEST_PART", 1 << 30)

    def script(there: Conversation) -> None:
        if there.asked.startswith("head"):
            there.send(HEAD + b"Content-Length: 1073741824\r\n\r\n")
            return
        there.send(part(0, 65536))
        there.forever(iter(lambda: b"x" * 50, b""), pause=0.02)

    with serving(script) as server:
        source = RangedFile(client(server.url, waits, said), FILE)
        with pytest.raises(NetworkError, match="too slowly"):
            source.read(0, 24)
    assert waits == []


def test_a_hub_that_always_drips_is_given_up_by_search_too(
    brief: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(DRIPS["body"]) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        with pytest.raises(GemmahubError, match="too slowly"):
            Hub(None, load_catalog(), token=False, timeout=10.0).search("gemma", limit=3)


# --- waits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "x"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}, None),
        ({"retry-after": "9" * 5000}, float("9" * 19)),
        ({"ratelimit": f'"api";r=0;t={"9" * 5000}'}, None),
        ({"ratelimit": f'"api";r={"9" * 5000};t=1'}, None),
        ({"ratelimit": f'"api";r=0;t={"9" * 4000}'}, None),
        ({"ratelimit": '"api";r=0;t=55'}, 56.0),
    ],
)
def test_how_long_to_wait_is_a_number_or_nothing(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert told_wait(headers) == seconds
