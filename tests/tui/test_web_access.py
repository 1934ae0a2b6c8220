"""Who may use the UI in a browser, and what a page may say to it: the rules, without a server."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.tui.web import protocol
from gemmahub.tui.web.access import Keys, cookie_name

LOCAL, EVERYWHERE, FORWARDED = Keys(), Keys(), Keys()


@pytest.mark.parametrize("change", ["", "x", "cut", "upper", "space", "é", "\ud800", "\0"])
def test_nothing_but_the_token_is_the_token(change: str) -> None:
    token = LOCAL.token
    guess = {"cut": token[:-1], "upper": token.swapcase(), "": ""}.get(change, token + change)
    assert LOCAL.is_token(token)
    assert not LOCAL.is_token(guess)
    assert not LOCAL.is_token(LOCAL.secret)


def test_each_start_has_a_token_and_a_cookie_of_its_own() -> None:
    secrets = {x for keys in (LOCAL, EVERYWHERE, FORWARDED) for x in (keys.token, keys.secret)}
    assert len(secrets) == 6
    assert all(len(secret) >= 43 for secret in secrets)  # 32 bytes
    assert LOCAL.token not in repr(LOCAL)
    assert LOCAL.secret not in repr(LOCAL)


def test_a_cookie_is_for_one_port_of_one_start() -> None:
    host = "127.0.0.1:8800"
    assert LOCAL.has_cookie({cookie_name(host): LOCAL.secret}, host)
    assert not LOCAL.has_cookie({cookie_name("127.0.0.1:8801"): LOCAL.secret}, host)
    assert not LOCAL.has_cookie({cookie_name(host): EVERYWHERE.secret}, host)
    assert not LOCAL.has_cookie({cookie_name(host): LOCAL.token}, host)
    assert not LOCAL.has_cookie({}, host)


# --- what a page says ----------------------------------------------------------------------------

SIZES = [
    ((100, 30), (100, 30)),
    ((1, 1), (1, 1)),
    ((10**9, 10**9), (protocol.MAX_COLUMNS, protocol.MAX_ROWS)),
    ((10**30, 1), (protocol.MAX_COLUMNS, 1)),
    ((0, 24), None),
    ((-5, 24), None),
    ((80, -1), None),
    ((80.0, 24), None),
    ((1e9, 24), None),
    ((float("nan"), 24), None),
    ((float("inf"), 24), None),
    (("80", "24"), None),
    ((True, True), None),
    ((None, 24), None),
    (([80], 24), None),
    (({}, 24), None),
]


@pytest.mark.parametrize(("given_size", "expected"), SIZES)
def test_a_size_is_bounded_or_refused(
    given_size: tuple[object, object], expected: tuple[int, int] | None
) -> None:
    width, height = given_size
    assert protocol.bounded_size(width, height) == expected
    sent = protocol.packet_for("resize", {"width": width, "height": height})
    if expected is None:
        assert sent == b""
    else:
        assert sent[:1] == b"M"
        assert int.from_bytes(sent[1:5], "big") == len(sent) - 5
        told = json.loads(sent[5:])
        assert told == {"type": "resize", "width": expected[0], "height": expected[1]}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("quit", None),
        ("exit", None),
        ("deliver_chunk_request", {"key": "x", "size": 9}),
        ("resize", None),
        ("resize", [1, 2]),
        ("resize", {}),
        ("stdin", None),
        ("stdin", 5),
        ("stdin", ["a"]),
        ("", ""),
        ("ping", "1"),
    ],
)
def test_what_the_ui_has_no_use_for_does_not_reach_it(kind: str, content: object) -> None:
    assert protocol.packet_for(kind, content) == b""


@pytest.mark.parametrize(
    "text",
    ["", "x", "{}", "[]", "null", "1", '"stdin"', "[1]", "[[]]", "[" * 100_000, "[" + "9" * 5000],
    ids=lambda text: text[:9],
)
def test_what_is_no_message_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of the parser or ours
        protocol.read_message(text)


@given(st.text(max_size=300))
def test_no_message_breaks_out_of_its_packet(text: str) -> None:
    sent = protocol.packet_for("stdin", text)
    assert sent[:1] == b"D"
    assert int.from_bytes(sent[1:5], "big") == len(sent) - 5


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_any_json_is_read_or_refused(value: object) -> None:
    try:
        kind, content = protocol.read_message(json.dumps(value))
    except ValueError:
        return
    assert isinstance(protocol.packet_for(kind, content), bytes)


def test_half_a_character_does_no_harm() -> None:
    assert protocol.packet_for("stdin", "a\ud800b") == protocol.packet(b"D", b"a?b")


def test_a_paste_without_an_end_gets_one() -> None:
    starts, ends = "\x1b[200~", "\x1b[201~"
    for text in (starts + "x", f"{starts}a{ends}{starts}b"):
        assert protocol.packet_for("stdin", text).endswith(ends.encode())
    whole = f"{starts}a{ends}"
    assert protocol.packet_for("stdin", whole) == protocol.packet(b"D", whole.encode())


@pytest.mark.parametrize("content", [None, 1, "1" * 41, ["1"], {"a": 1}])
def test_a_ping_is_echoed_only_while_it_is_small(content: object) -> None:
    assert protocol.pong_for(content) is None
    assert protocol.pong_for("1764336000000") == ["pong", "1764336000000"]


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "file:///etc/x", "", None],
)
def test_a_page_is_asked_to_open_web_addresses_only(address: object) -> None:
    assert not protocol.is_web_address(address)
    assert protocol.is_web_address("https://huggingface.co/google")


@pytest.mark.parametrize("text", ["", "-5", "1e9", "9" * 50, "٣", "1_0", "NaN", " 7", "7.0"])
def test_a_number_in_an_address_is_a_small_number_or_the_usual_one(text: str) -> None:
    assert protocol.bounded_number(text, 80) == 80
    assert protocol.bounded_number("120", 80) == 120
