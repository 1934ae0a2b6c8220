"""Kinds of values that settings and options have, in the settings file and as people write them."""

from __future__ import annotations

import tomllib
from typing import Any, Final

from gemmahub.records.parsing import Unfit, as_kind

KINDS: Final[dict[Any, str]] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list[str]: "a list of texts",
    dict[str, str]: "a table of texts",
}
"""What a setting may be, and what that is called."""
_TRUTH: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def is_of(value: object, kind: Any) -> bool:
    """Whether a value of the settings file is of that kind. A whole number is a number, too."""
    try:
        as_kind(value, kind)
    except Unfit:
        return False
    return not has_nul(value)


def has_nul(value: object) -> bool:
    """Whether a NUL character is in a text, or in one of several."""
    if isinstance(value, dict):
        return has_nul(list(value.values()))
    if isinstance(value, list):
        return any(map(has_nul, value))
    return isinstance(value, str) and "\0" in value


def value_of_text(text: str, kind: Any) -> Any:
    """A value as it is written on the command line or in a variable.

    Lists are separated by commas, tables are ``name=value`` pairs with commas; both may also be
    written as in the settings file (``["a, b"]``). Raises: ValueError.
    """
    if kind is bool:
        if text.lower() not in _TRUTH:
            raise ValueError(text)
        return _TRUTH[text.lower()]
    if kind not in (list[str], dict[str, str]):
        return kind(text)
    if text.lstrip().startswith(("[", "{")):
        found = tomllib.loads(f"value = {text}")["value"]
        if not is_of(found, kind):
            raise ValueError(text)
        return found
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if kind == list[str]:
        return parts
    pairs = [part.partition("=") for part in parts]
    if not all(name.strip() and mark for name, mark, _ in pairs):
        raise ValueError(text)
    return {name.strip(): value.strip() for name, _, value in pairs}


def text_of_value(value: object) -> str:
    """A value as it is shown, and as :func:`value_of_text` takes it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{name}={one}" for name, one in value.items())
    return "" if value is None else str(value)
