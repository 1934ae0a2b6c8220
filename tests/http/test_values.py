"""What a server says: values of the kind that was expected, or none."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from typing import Any

import pytest

from gemmahub.http.values import (
    NotJson,
    content_range,
    count_of,
    number_of,
    object_of,
    parse_json,
    text_of,
    texts_of,
)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"<html>", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"NaN",
        b"[Infinity]", b"-Infinity", b"9" * 5000,
        b'{"size": -' + b"9" * 5000 + b"}", b"[],[]", b'"\x1b"',
        b"[" + b"[]," * 200_000 + b"1]", b"[" + b"{}," * 100_001 + b"1]", b"1," * 200_001,
    ],
    ids=lambda raw: repr(raw[:12]),
)  # fmt: skip
def test_what_is_not_taken_as_json(raw: bytes) -> None:
    with pytest.raises(NotJson, match="not JSON"):
        parse_json(raw)


def test_many_small_values_cost_no_memory() -> None:
    raw = b"[" + b"[]," * 1_300_000 + b"1]"
    tracemalloc.start()
    try:
        with pytest.raises(NotJson):
            parse_json(raw)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_json_is_what_it_says() -> None:
    assert parse_json('{"é": [1, 2.5, true, null, "x"]}'.encode()) == {
        "é": [1, 2.5, True, None, "x"]
    }


@pytest.mark.parametrize(
    "value", [None, True, False, 1.0, float("inf"), "1", [], {}, -1, 2**63, 10**400]
)
def test_what_is_not_a_count(value: Any) -> None:
    assert count_of(value) is None


@pytest.mark.parametrize("value", [0, 1, 2**63 - 1])
def test_what_is_a_count(value: int) -> None:
    assert count_of(value) == value


@pytest.mark.parametrize("value", [None, 1, [], {}, True])
def test_what_is_not_text(value: Any) -> None:
    assert text_of(value) == ""
    assert texts_of(value) == ()
    assert texts_of([value, "x"]) == ("x",)


@pytest.mark.parametrize("value", [True, None, "1", -1, -0.5, 1e999, float("nan"), 10**400, []])
def test_what_is_not_a_number(value: Any) -> None:
    assert number_of(value) is None


@pytest.mark.parametrize("value", [0, 1.5, 10**300])
def test_what_is_a_number(value: float) -> None:
    assert number_of(value) == float(value)


def test_texts_are_short_and_can_be_written() -> None:
    assert text_of("\ud83dx") == "?x"
    assert text_of("x" * 100, 10) == "x" * 10
    assert texts_of(["a"] * 100, 3) == ("a", "a", "a")
    assert object_of([1]) == {}
    assert object_of({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    "header",
    [
        "", "bytes */1", "bytes 0-1", "bytes 0-1/*", "bytes a-b/c", "bytes 0-1/2 ", "bytes 0-1/2\n",
        f"bytes 0-{'9' * 5000}/{'9' * 5000}", "bytes 0-٣/٤", "bytes -1-2/3", "Bytes 0-1/2",
    ],
)  # fmt: skip
def test_what_is_not_a_content_range(header: str) -> None:
    assert content_range(header) is None


def test_a_content_range() -> None:
    assert content_range("bytes 0-1/2") == (0, 1, 2)


def test_importing_loads_no_network_library() -> None:
    program = "from gemmahub.http import addresses, client, limits, line_stream, values"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"httpx2", "httpcore2", "ssl", "huggingface_hub"} & set(done.stdout.split())
