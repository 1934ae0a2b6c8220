"""Options of a backend as people write them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from gemmahub.engines.contract import Backend, Option
from gemmahub.engines.option_values import option_defaults, option_values
from gemmahub.errors import UsageError


class Demo(Backend):
    name: ClassVar[str] = "demo"
    options: ClassVar[tuple[Option, ...]] = (
        Option("fast", "whether", bool, False),
        Option("count", "how many", int, 1),
        Option("rate", "how fast", float, 1.0),
        Option("where", "the place", str, ""),
        Option("kind", "which kind", str, "a", ("a", "b")),
    )


def test_texts_become_values_of_the_declared_types() -> None:
    texts = {"fast": "True", "count": "7", "rate": "2", "where": "true"}
    found = option_values(Demo(), texts)
    assert found == {"fast": True, "count": 7, "rate": 2.0, "where": "true"}
    assert isinstance(found["rate"], float)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("fast", "maybe", "true or false"),
        ("count", "1.5", "type int"),
        ("rate", "", "type float"),
        ("slow", "1", "its options: count, fast, kind, rate, where"),
    ],
)
def test_what_is_not_such_a_value(name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        option_values(Demo(), {name: text})
    assert message in f"{caught.value.message}; {caught.value.hint}"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"slow": 1}, "backends.demo has no option 'slow'"),
        ({"fast": "yes"}, "backends.demo.fast must be true or false"),
        ({"count": 1.5}, "backends.demo.count must be a whole number"),
        ({"count": True}, "backends.demo.count must be a whole number"),
        ({"where": ["x"]}, "backends.demo.where must be a text"),
        ({"where": "a\0b"}, "backends.demo.where must be a text"),
        ({"kind": "c"}, "backends.demo.kind must be one of a, b"),
    ],
)
def test_what_a_backend_does_not_take_is_named_with_file_and_key(
    table: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        option_defaults(Demo(), table, Path("/x/config.toml"))
    assert caught.value.message.startswith(f"/x/config.toml: {told}")
    assert caught.value.hint


def test_a_whole_number_is_taken_where_a_number_is_declared() -> None:
    table = {"fast": True, "rate": 2, "kind": "a"}
    assert option_defaults(Demo(), table, Path("x")) == table
