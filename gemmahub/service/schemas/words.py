"""What the keys of the JSON mean, as the schemas say it."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def descriptions() -> dict[str, Any]:
    """The words by key; a table for a shape has those of its own."""
    text = (files(__package__) / "descriptions.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def description_of(shape: str, key: str) -> str:
    """What a key of that shape means, empty where nobody says it."""
    known = descriptions()
    own = known.get(shape)
    found = own.get(key) if isinstance(own, dict) and key in own else known.get(key)
    return found if isinstance(found, str) else ""
