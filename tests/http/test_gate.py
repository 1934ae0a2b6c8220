"""Which requests a server of ours answers: those that name it, and come from no foreign page."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from gemmahub.http.gate import Gate, gate_for
from gemmahub.http.place import Place

LOCAL = gate_for("127.0.0.1", 8800)
EVERYWHERE = gate_for("0.0.0.0", 8800)
FORWARDED = gate_for("127.0.0.1", None)


def own(gate: Gate, *headers: tuple[str, str]) -> bool:
    found = CIMultiDict(headers)
    return gate.is_own(found.getall("Host", []), found.getall("Origin", []))


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


def test_the_printed_address_names_a_host_that_is_answered() -> None:
    for host in ("127.0.0.1", "::1", "0.0.0.0", "::", "box.lan"):
        gate = gate_for(host, 8800)
        netloc = Place(host, 8800, "gemmahub serve").url.split("/")[2]
        assert own(gate, ("Host", netloc), ("Origin", f"http://{netloc}"))


def test_a_page_that_is_named_may_ask_and_no_other() -> None:
    gate = gate_for("127.0.0.1", 8808, frozenset({"vscode-webview://abc", "https://chat.example"}))
    for origin in ("vscode-webview://abc", "https://chat.example", "http://localhost:8808"):
        assert own(gate, ("Host", "127.0.0.1:8808"), ("Origin", origin))
    for origin in ("http://chat.example", "https://chat.example.evil", "vscode-webview://abd"):
        assert not own(gate, ("Host", "127.0.0.1:8808"), ("Origin", origin))
    assert not own(gate, ("Host", "chat.example"), ("Origin", "https://chat.example"))
