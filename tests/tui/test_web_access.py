"""Who may use the UI in a browser, and what a page may say to it: the rules, without a server."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gemmahub.tui.web import protocol
from gemmahub.tui.web.access import Gate, cookie_name, gate_for
from gemmahub.tui.web.place import Place

LOCAL = gate_for("127.0.0.1", 8800)
EVERYWHERE = gate_for("0.0.0.0", 8800)
FORWARDED = gate_for("127.0.0.1", None)


def own(gate: Gate, *headers: tuple[str, str]) -> bool:
    return gate.is_own(CIMultiDict(headers))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Host", "127.0.0.1:8800")], True),
        ([("host", "LOCALHOST:8800")], True),
        ([("Host", "[::1]:8800")], True),
        ([("Host", "localhost:8800"), ("Origin", "http://127.0.0.1:8800")], True),
        ([("Host", "gemmahub.example:8800")], False),
        ([("Host", "127.0.0.1")], False),
        ([("Host", "127.0.0.1:8801")], False),
        ([("Host", "127.0.0.1:8800.evil.example")], False),
        ([("Host", "localhost.evil.example:8800")], False),
        ([("Host", "evil.example@127.0.0.1:8800")], False),
        ([("Host", "127.0.0.1:8800/evil.example")], False),
        ([("Host", "127.0.0.1:99999999")], False),
        ([("Host", "[::1")], False),
        ([("Host", "192.168.1.5:8800")], False),
        ([("Host", "127.0.0.1:8800"), ("Host", "evil.example")], False),
        ([("Host", "127.0.0.1:8800"), ("Origin", "http://evil.example")], False),
        ([("Host", "127.0.0.1:8800"), ("Origin", "http://evil.example:8800")], False),
        ([("Host", "127.0.0.1:8800"), ("Origin", "http://localhost:3000")], False),
        ([("Host", "127.0.0.1:8800"), ("Origin", "https://127.0.0.1:8800")], False),
        ([("Host", "127.0.0.1:8800"), ("Origin", "null")], False),
        ([("Host", "127.0.0.1:8800"), ("Origin", "")], False),
        ([("Host", "127.0.0.1:8800"), ("Origin", "file://")], False),
        (
            [
                ("Host", "127.0.0.1:8800"),
                ("Origin", "http://127.0.0.1:8800"),
                ("Origin", "http://evil.example"),
            ],
            False,
        ),
        ([], False),
    ],
)
def test_only_its_own_page_is_answered(headers: list[tuple[str, str]], expected: bool) -> None:
    assert own(LOCAL, *headers) is expected


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("192.168.1.5:8800", None, True),
        ("192.168.1.5:8800", "http://192.168.1.5:8800", True),
        ("[fe80::1]:8800", "http://[fe80::1]:8800", True),
        ("localhost:8800", "http://localhost:8800", True),
        ("evil.example:8800", None, False),
        ("192.168.1.5:8800", "http://6.6.6.6:8800", False),
        ("192.168.1.5:8801", None, False),
    ],
)
def test_every_address_is_a_name_of_a_server_on_all_of_them_but_no_other_name(
    host: str, origin: str | None, expected: bool
) -> None:
    headers = [("Host", host)] + ([("Origin", origin)] if origin else [])
    assert own(EVERYWHERE, *headers) is expected


def test_a_named_host_is_the_only_one() -> None:
    gate = gate_for("Box.lan", 8800)
    assert own(gate, ("Host", "box.lan:8800"), ("Origin", "http://box.lan:8800"))
    assert not own(gate, ("Host", "127.0.0.1:8800"))
    assert own(gate_for("box.lan", 80), ("Host", "box.lan"), ("Origin", "http://box.lan"))


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:9000", "http://localhost:9000", True),
        ("localhost", None, True),
        ("localhost:9000", "http://localhost:9001", False),
        ("evil.example:9000", "http://evil.example:9000", False),
    ],
)
def test_a_socket_is_forwarded_from_any_port_of_the_own_machine(
    host: str, origin: str | None, expected: bool
) -> None:
    headers = [("Host", host)] + ([("Origin", origin)] if origin else [])
    assert own(FORWARDED, *headers) is expected


@pytest.mark.parametrize("change", ["", "x", "cut", "upper", "space", "é", "\ud800", "\0"])
def test_nothing_but_the_token_is_the_token(change: str) -> None:
    token = LOCAL.token
    guess = {"cut": token[:-1], "upper": token.swapcase(), "": ""}.get(change, token + change)
    assert LOCAL.is_token(token)
    assert not LOCAL.is_token(guess)
    assert not LOCAL.is_token(LOCAL.secret)


def test_each_start_has_a_token_and_a_cookie_of_its_own() -> None:
    secrets = {x for gate in (LOCAL, EVERYWHERE, FORWARDED) for x in (gate.token, gate.secret)}
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


def test_the_printed_address_names_a_host_that_is_answered() -> None:
    for host in ("127.0.0.1", "::1", "0.0.0.0", "::", "box.lan"):
        gate = gate_for(host, 8800)
        netloc = Place(host, 8800).url("x").split("/")[2]
        assert own(gate, ("Host", netloc), ("Origin", f"http://{netloc}"))


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
