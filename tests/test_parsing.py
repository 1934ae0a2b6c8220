"""Data from files becomes records of declared types, or a reason in plain words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct, field

from gemmahub.records.parsing import (
    DEEPEST,
    Unfit,
    as_far_as_it_fits,
    as_kind,
    from_json,
    is_plain,
    json_value,
    read_bounded,
    set_aside,
)

if TYPE_CHECKING:
    from pathlib import Path


class Inner(Struct):
    count: Annotated[int, Meta(ge=0)] = 1
    share: Annotated[float, Meta(ge=0, le=1)] = 0.5


class Outer(Struct, forbid_unknown_fields=True):
    name: str
    kind: Literal["a", "b"] = "a"
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "name is missing"),
        ([], "expected a table, got a list"),
        ({"name": 5}, "name: expected a text, got a whole number"),
        ({"name": "x", "kind": "c"}, "kind: 'c' is not one of a, b"),
        ({"name": "x", "more": 1}, "unknown key more"),
        ({"name": "x", "inner": {"count": -1}}, "inner.count: expected a whole number >= 0"),
        ({"name": "x", "inner": {"count": True}}, "inner.count: expected a whole number, got true"),
        ({"name": "x", "inner": {"count": 2.0}}, "inner.count: expected a whole number, got a num"),
        ({"name": "x", "inner": {"share": float("nan")}}, "inner.share: expected a number >= 0.0"),
        ({"name": "x", "inner": {"share": 10**400}}, "inner.share: number out of range"),
        ({"name": "x", "other": []}, "other: expected a table or nothing, got a list"),
        ({"name": "x", "\ud800": 1}, "'utf-8' codec can't encode"),
        ({"name": "x", "kind": "\x1b[2J"}, "kind: '\\x1b[2J' is not one of a, b"),
    ],
)
def test_a_reason_names_the_place_in_plain_words(value: Any, reason: str) -> None:
    with pytest.raises(Unfit) as caught:
        as_kind(value, Outer)
    assert str(caught.value).startswith(reason)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("raw", ["[" * 100_000, '{"name":' * 100_000, "NaN", "9" * 5000, b"\xff"])
def test_text_that_is_not_a_record_is_unfit(raw: Any) -> None:
    for kind in (Outer, dict, list):
        with pytest.raises(Unfit):
            from_json(raw, kind)
    if raw not in ("NaN",):
        with pytest.raises(Unfit):
            json_value(raw)


def test_what_fits_is_kept_and_the_rest_has_its_default() -> None:
    values = {"name": "x", "kind": 5, "inner": {"count": 7, "share": 2}, "other": {"share": "?"}}
    record, unfit = as_far_as_it_fits(values, Outer)
    assert record == Outer("x", inner=Inner(count=7), other=Inner())
    assert [reason.split(":")[0] for reason in unfit] == ["kind", "inner", "other"]
    with pytest.raises(Unfit, match="name is missing"):
        as_far_as_it_fits({}, Outer)
    with pytest.raises(Unfit, match="name: expected a text"):
        as_far_as_it_fits({"name": None}, Outer)


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_plain_values_are_neither_deep_nor_out_of_range() -> None:
    assert is_plain(nested(DEEPEST))
    assert not is_plain(nested(DEEPEST + 1))
    assert not is_plain(nested(100_000))
    assert is_plain({"a": [1, 1.5, None, True, "x", -(2**63), 2**64 - 1]})
    for odd in (float("nan"), float("inf"), 2**64, -(2**63) - 1, 10**400):
        assert not is_plain([odd])


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=10,
)


@given(_json | st.fixed_dictionaries({"name": _json}, optional={"kind": _json, "inner": _json}))
def test_any_value_is_a_record_or_unfit(value: Any) -> None:
    failure: Unfit | None = None
    try:
        assert isinstance(as_kind(value, Outer), Outer)
    except Unfit as error:
        failure = error
    assert failure is None or str(failure)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(Unfit, match="longer"):
        read_bounded(path, 4)
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(Unfit, match="not a file"):
            read_bounded(odd, 5)
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "none", 5)


def test_what_is_put_aside_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    (tmp_path / "f.json.damaged").symlink_to("nowhere")
    for number in (2, 3):
        path.write_text(str(number))
        kept = set_aside(path)
        assert kept is not None
        assert (kept.name, kept.read_text()) == (f"f.json.damaged-{number}", str(number))
    assert set_aside(path) is None  # it is not there
