"""What commands print as JSON is held to its schema, whichever test asks for it."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

import click
from jsonschema import Draft202012Validator

from gemmahub.cli.main import ALIASES, COMMANDS, cli
from gemmahub.service.schemas import SCHEMAS, schema_named

if TYPE_CHECKING:
    from collections.abc import Sequence

# Groups that take what is no name of a command for an argument of this one.
_OTHERWISE = {"bench": "run", "plugins": "show", "chats": "list", "presets": "list"}


@cache
def validator(name: str) -> Draft202012Validator:
    """What checks the JSON of a schema."""
    found = schema_named(name)
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


def faults(name: str, value: object) -> list[str]:
    """What of a value breaks a schema, with its place."""
    return [
        f"{error.json_path}: {error.message[:300]}" for error in validator(name).iter_errors(value)
    ]


def asks_for_json(words: Sequence[str]) -> bool:
    """Whether a command line asks for JSON."""
    options = list(words[: words.index("--")]) if "--" in words else list(words)
    return "--json" in options or "--format json" in " ".join(options)


def schema_of(words: Sequence[str]) -> str | None:
    """The schema of a command line; None where it is no command of this program, or prints a
    document of another kind."""
    plain = [word for word in words if not word.startswith("-")]
    name = ALIASES.get(plain[0], plain[0]) if plain else ""
    if name not in COMMANDS or (name == "schema" and len(plain) > 1):
        return None
    command = cli.get_command(click.Context(cli), name)
    if isinstance(command, click.Group):
        rest = [word for word in plain[1:] if word not in ("json", "csv", "markdown")]
        if rest and rest[0] in command.commands:
            name = f"{name} {rest[0]}"
        elif name in ("bench", "chats", "presets") or (name == "plugins" and rest):
            name = f"{name} {_OTHERWISE[name]}"
    if name == "chats export":
        name = "chats show"
    key = name.replace(" ", "-")
    return key if key in SCHEMAS else None


def check_json(words: Sequence[str], out: str) -> None:
    """Fails where a command printed JSON that its schema does not describe."""
    if not out.strip() or not asks_for_json(words):
        return
    name = schema_of(words)
    if name is None:
        return
    value = json.loads(out)
    if isinstance(value, dict) and value.keys() == {"error"}:
        name = "error"
    assert not (found := faults(name, value)), (name, list(words), found[:5])
