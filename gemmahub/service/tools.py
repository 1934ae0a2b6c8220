"""Tools that a model may ask for: read from a file, and what it asked for checked against them.

No tool is executed here, or anywhere in gemmahub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Tool
from gemmahub.errors import GemmahubError, UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import ToolCall

_LARGEST: Final = 1 << 20
_MOST: Final = 128
_NOTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}}
_HINT: Final = (
    'write a list of functions: [{"name": ..., "description": ..., "parameters": {a JSON schema}}]'
)


def tools_of(path: Path) -> tuple[Tool, ...]:
    """The tools in a file: a list of functions, as they stand or as OpenAI's interface has them.

    Raises: UsageError for what is none.
    """
    from gemmahub.records.parsing import Unfit, is_plain, json_value, read_bounded

    try:
        found = json_value(read_bounded(path, _LARGEST))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "choose another file"
        ) from None
    except Unfit as error:
        raise UsageError(f"{one_line(path.name)}: {error}", _HINT) from None
    if not isinstance(found, list) or not 0 < len(found) <= _MOST or not is_plain(found):
        raise UsageError(
            f"{one_line(path.name)} does not hold a list of 1 to {_MOST} functions", _HINT
        )
    tools = tuple(_tool(value, f"function {n} of {path.name}") for n, value in enumerate(found, 1))
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{one_line(path.name)} has two functions {twice}", "rename one of them")
    return tools


def _tool(value: Any, what: str) -> Tool:
    from jsonschema import Draft202012Validator, SchemaError

    from gemmahub.engines.tool_calls import TOOL_NAME

    what = one_line(what)
    if isinstance(value, dict) and value.get("type") == "function" and "function" in value:
        value = value["function"]
    if not isinstance(value, dict):
        raise UsageError(f"{what} is not an object", _HINT)
    name, description = value.get("name"), value.get("description", "")
    parameters = value.get("parameters") or _NOTHING
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        raise UsageError(f"{what} has no name", "use up to 64 letters, digits, _ . and -")
    if not isinstance(description, str):
        raise UsageError(f"the description of {name} is not text", "write a text")
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise UsageError(f"the parameters of {name} are not a schema of an object", _HINT)
    try:
        Draft202012Validator.check_schema(parameters)
    except SchemaError as error:
        said = one_line(error.message, 300)
        raise UsageError(
            f"the parameters of {name} are not a JSON schema: {said}", "correct it"
        ) from None
    return Tool(name, description, {"type": "object", **parameters})


def checked_calls(
    calls: Iterable[ToolCall], tools: Sequence[Tool], *, cut: bool = False
) -> list[dict[str, Any]]:
    """The calls with their arguments, each checked against the schema of its tool. ``cut``: the
    answer ended because it was as long as it may be.

    Raises: GemmahubError for a call of no tool, and for arguments that break the schema.
    """
    from gemmahub.service.structured import held_to

    known = {tool.name: tool for tool in tools}
    found = []
    for call in calls:
        name = one_line(call.name, 80)
        if call.name not in known:
            raise GemmahubError(
                f"the model called {name}, which is not a tool of this conversation", "ask again"
            )
        what = f"the call of {name}"
        values = held_to(call.arguments, known[call.name].parameters, what, cut=cut)
        found.append({"id": call.id, "name": call.name, "arguments": values})
    return found
