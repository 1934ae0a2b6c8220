"""Answers that keep to a JSON schema: read from a file, checked before they are printed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GemmahubError, IntegrityError, UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LARGEST: Final = 1 << 20


def schema_of(path: Path) -> dict[str, Any]:
    """The JSON schema in a file. Raises: UsageError for what is none."""
    from jsonschema import Draft202012Validator, SchemaError

    from gemmahub.formats.json_text import read_object

    try:
        schema = read_object(path, _LARGEST)
        Draft202012Validator.check_schema(schema)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "choose another file"
        ) from None
    except IntegrityError as error:
        raise UsageError(error.message, "write a JSON schema: an object, at most 1 MiB") from None
    except SchemaError as error:
        raise UsageError(
            f"{path.name} is not a JSON schema: {one_line(error.message, 300)}", "correct it"
        ) from None
    return schema


def checked(text: str, schema: dict[str, Any], *, cut: bool) -> str:
    """The answer, without white space around it, where it is JSON that keeps to the schema.

    ``cut``: it ended because it was as long as it may be. Raises: GemmahubError.
    """
    held_to(text, schema, "the answer", cut=cut)
    return text.strip()


def held_to(text: str, schema: Mapping[str, Any], what: str, *, cut: bool) -> Any:
    """The value in a text that is JSON and keeps to the schema. Raises: GemmahubError about
    ``what`` it is; ``cut`` as for :func:`checked`."""
    from jsonschema import Draft202012Validator, ValidationError
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        value = json.loads(text, parse_constant=_refuse)
        # Nothing is fetched for a reference that leads elsewhere.
        Draft202012Validator(schema, registry=Registry()).validate(value)
    except (ValueError, RecursionError) as error:
        hint = "allow a longer answer with --max-tokens" if cut else "ask again"
        raise GemmahubError(f"{what} is not JSON: {one_line(str(error), 200)}", hint) from None
    except ValidationError as error:
        raise GemmahubError(
            f"{what} does not follow the schema: {one_line(error.message, 300)}", "ask again"
        ) from None
    except Unresolvable as error:
        raise GemmahubError(
            f"the schema refers to a definition that it does not have: {one_line(str(error), 200)}",
            "add it to the file",
        ) from None
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")
