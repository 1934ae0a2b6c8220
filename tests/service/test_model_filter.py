"""``--filter`` and ``--sort``: their grammar, their errors, and what they leave."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.errors import UsageError
from gemmahub.service.model_facts import ModelFacts
from gemmahub.service.model_filter import (
    KEYS,
    condition_of,
    is_condition,
    is_unfinished,
    selection_of,
)
from gemmahub.text.rows import as_csv, as_markdown

FACTS = ModelFacts(
    name=("gemma-4-e4b-it:q4_0", "Gemma 4 E4B"), format=("gguf",), kind=("text",),
    label=("Q4_0",), engine=("llama.cpp", "ollama"), store=("ollama",), bits=4.5,
    params=8_000_000_000, size=4_800_000_000, context=32768, speed=20.0, fits=True, qat=True,
    installed=True,
)  # fmt: skip
UNKNOWN = replace(
    FACTS, bits=None, params=None, size=None, context=None, speed=None, fits=None, qat=None,
    store=(), label=("",),
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "bits<5", "bits <= 4.5", "params>=4b", "params=8b", "size<8GB", "size<4.8g", "fits", "qat",
        "engine=mlx,fits", "engine=OLLAMA", "name~E4B", "name!~12b", "format=gguf,bits<5,fits",
        "context>=32k", "speed>=20", "!fits", "label=q4_0", "installed=yes", "qat!=no", "bits==4.5",
        "kind!=embedding", "name=gemma-4-e4b-it:q4_0",
    ],
)  # fmt: skip
def test_conditions_hold_as_they_read(text: str) -> None:
    expected = text not in ("engine=mlx,fits", "!fits")
    assert selection_of(text).shows(FACTS) is expected
    assert selection_of("installed").shows(UNKNOWN)


@pytest.mark.parametrize("text", ["bits<99", "bits!=1", "size>0GB", "!fits", "fits", "store!=x"])
def test_what_is_not_known_meets_no_condition(text: str) -> None:
    assert not selection_of(text).shows(UNKNOWN)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("bitz<5", "'bitz<5' names no key", "did you mean bits?"),
        ("bits", "needs a value", "write bits<5"),
        ("bits<", "needs a value", "write bits<5"),
        ("bits~5", "bits is a number", "write bits<5"),
        ("bits<five", "five is not a number for bits", "write bits<5"),
        ("size<8", "8 is not a number for size", "GB (10^9 bytes)"),
        ("size<8parsecs", "8parsecs is not a number for size", "write size<8GB"),
        ("params>4gb", "4gb is not a number for params", "params>=4b"),
        ("name<3", "name is a text", "write name~e4b"),
        ("fits<3", "fits is yes or no", "write fits or !fits"),
        ("bits<5,,fits", "has an empty part", "for example --filter"),
        ("", "has an empty part", "keys: name"),
        ("x y", "is not a condition", "for example --filter 'bits<5"),
    ],
)
def test_a_wrong_filter_says_what_is_right(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as failure:
        selection_of(text)
    assert message in failure.value.message
    assert hint in (failure.value.hint or "")


def test_a_wrong_order_names_the_keys() -> None:
    with pytest.raises(UsageError) as failure:
        selection_of(None, "sizes")
    assert failure.value.message == "'sizes' names no key that models have"
    assert "did you mean size? keys: name," in (failure.value.hint or "")
    assert "--sort -size" in (failure.value.hint or "")


def test_the_order_puts_what_is_not_known_last() -> None:
    small, large = replace(FACTS, size=1, name=("b",)), replace(FACTS, size=9, name=("a",))
    every = [UNKNOWN, large, small]
    assert selection_of(None, "size").of(every, lambda facts: facts) == [small, large, UNKNOWN]
    assert selection_of(None, "-size").of(every, lambda facts: facts) == [large, small, UNKNOWN]
    same = [replace(small, size=9), large]
    assert selection_of(None, "size,name").of(same, lambda f: f)[0] is large


def test_every_key_has_an_example_that_works() -> None:
    for name, key in KEYS.items():
        assert condition_of(key.example).key == name
        assert hasattr(FACTS, name)


def test_words_of_the_library_are_conditions_where_they_compare() -> None:
    assert is_condition("bits<5")
    assert is_condition("!qat")
    for text in ("fits", "gemma", "q4_0", "bits<", "bits<x", "nosuch<5", "installed"):
        assert not is_condition(text)
    assert is_unfinished("params>=")
    assert not is_unfinished("params")


@given(st.text(max_size=40))
def test_no_text_makes_the_filter_crash(text: str) -> None:
    is_condition(text)
    is_unfinished(text)
    with suppress(UsageError):
        selection_of(text, text).shows(FACTS)


HOSTILE = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "a,b",
    'say "x"',
    "line\nbreak",
    "|",
    "`x`",
]


def test_csv_quotes_and_defuses() -> None:
    text = as_csv(("name", "n"), [*((cell, -1) for cell in HOSTILE), (None, 1.5), (True, 0)])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["name", "n"]
    names = [row[0] for row in rows[1:]]
    assert names[:4] == ["'=1+1", "'+1", "'-1", "'@SUM(A1)"]
    assert not any(name.startswith(("=", "+", "-", "@", "\t", "\r")) for name in names)
    assert names[6:9] == ["a,b", 'say "x"', "line break"]
    assert rows[-2:] == [["", "1.5"], ["true", "0"]]
    assert rows[1][1] == "-1"  # a number is none of a stranger's texts


def test_markdown_escapes_and_aligns() -> None:
    rows: list[list[Any]] = [["a|b", 5_000_000_000, 4.5012], ["*x*", None, 1.0]]
    text = as_markdown(("name", "size_bytes", "bits"), rows)
    assert text.splitlines() == [
        "| name | size_bytes | bits |",
        "| --- | ---: | ---: |",
        r"| a\|b | 5.00 GB | 4.501 |",
        r"| \*x\* |  | 1 |",
    ]
