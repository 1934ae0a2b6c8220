"""The JSON schemas of what commands print with ``--json``.

They are made from types when they are asked for: records where the JSON is a record
(:mod:`gemmahub.measurements.records`, :mod:`gemmahub.hardware.records`), else the ``*Json`` types
of this package. The tests hold every JSON that a test makes a command print to its schema.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gemmahub.errors import GemmahubError, NotFound
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class SchemaEntry(NamedTuple):
    """A schema: the command that prints it, in one line what it is, and the shapes that the answer
    can have as ``module:type``. ``version`` grows when a key goes, or changes its type or its
    meaning."""

    command: str
    description: str
    shapes: tuple[str, ...]
    version: int = 1

    @property
    def id(self) -> str:
        """A name that is unique among all schemas, with its version."""
        return f"urn:gemmahub:schema:{self.command.replace(' ', '-')}:{self.version}"


def _entry(command: str, description: str, *shapes: str, version: int = 1) -> SchemaEntry:
    return SchemaEntry(command, description, shapes, version)


_ENTRIES: Final = (
    _entry("list", "Models on this machine", "model_shapes:ListJson"),
    _entry("inspect", "One model", "model_shapes:ModelJson"),
    _entry("search", "Repositories with their model files", "model_shapes:SearchJson"),
    _entry("pull", "A download, planned or done", "model_shapes:PullJson"),
    _entry("run", "One answer", "chat_shapes:RunJson"),
    _entry("embed", "Vectors of texts", "chat_shapes:EmbedJson"),
    _entry("chats list", "Saved conversations", "chat_shapes:ChatsListJson"),
    _entry("chats show", "One conversation", "chat_shapes:ConversationJson"),
    _entry(
        "chats continue", "An answer of a conversation with tools", "chat_shapes:ToolAnswerJson"
    ),
    _entry("plan", "A model's memory use", "memory_shapes:PlanJson"),
    _entry("recommend", "Models for a machine, the best first", "memory_shapes:RecommendJson"),
    _entry("compare", "Variants side by side", "memory_shapes:CompareJson"),
    _entry(
        "bench run",
        "Measured speeds, or with --tune the fastest settings",
        "measured_shapes:SpeedResultsJson",
        "measured_shapes:TunedJson",
    ),
    _entry(
        "quality",
        "Perplexity and divergence; answers with --prompts, scores with --tasks",
        "measured_shapes:QualityResultsJson",
        "measured_shapes:AnswersJson",
        "measured_shapes:TasksJson",
    ),
    _entry("quantize", "A file at another precision", "model_shapes:QuantizeJson"),
    _entry("du", "Disk usage by store and by model", "disk_shapes:DiskUsageJson"),
    _entry(
        "rm",
        "A removal, planned or done",
        "disk_shapes:RemovalPlanJson",
        "disk_shapes:RemovedJson",
    ),
    _entry(
        "dedupe",
        "Identical files: planned, shared, or undone",
        "disk_shapes:DedupePlanJson",
        "disk_shapes:DedupedJson",
        "disk_shapes:UndoneJson",
    ),
    _entry("ps", "Models in memory", "system_shapes:LoadedModelsJson"),
    _entry("hardware", "This machine", "gemmahub.hardware.records:Machine"),
    _entry("plugins", "Installed plugins", "system_shapes:PluginsJson"),
    _entry("plugins show", "One plugin", "system_shapes:PluginJson"),
    _entry("config list", "All settings", "system_shapes:SettingsJson"),
    _entry("config get", "One setting", "system_shapes:SettingJson"),
    _entry("doctor", "Checks of this installation", "setup_shapes:ChecksJson"),
    _entry("setup", "What this machine can run, and what is missing", "setup_shapes:SetupJson"),
    _entry("presets list", "Presets", "setup_shapes:PresetsJson"),
    _entry("presets show", "One preset", "setup_shapes:PresetJson"),
    _entry("presets import", "Presets of a file", "setup_shapes:ImportedPresetsJson"),
    _entry("schema", "The schemas themselves", "system_shapes:SchemaListJson"),
    _entry("error", "A failure of any command", "system_shapes:ErrorJson"),
)
SCHEMAS: Final = {entry.command.replace(" ", "-"): entry for entry in _ENTRIES}
"""All schemas by name: that of the command, with a dash for each space."""

# Keys that a record has and its JSON has not.
_LEFT_OUT: Final = {"Machine": "engine", "SavedMessage": "number"}


def schema_rows() -> list[dict[str, Any]]:
    """The list of schemas as ``gemmahub schema --json`` prints it."""
    return [
        {
            "name": name,
            "version": entry.version,
            "command": "" if name == "error" else f"gemmahub {entry.command}",
            "description": entry.description,
        }
        for name, entry in SCHEMAS.items()
    ]


def schema_named(name: str) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of that name. ``chats list`` is ``chats-list``, too.

    Raises: NotFound.
    """
    key = name.strip().replace(" ", "-")
    entry = SCHEMAS.get(key)
    if entry is None:
        near = nearest(key, SCHEMAS)
        hint = f"did you mean {', '.join(near)}?" if near else "gemmahub schema lists them"
        raise NotFound(f"there is no schema called {one_line(name)!r}", hint)
    roots, definitions = _made(entry)
    answer = roots[0] if len(roots) == 1 else {"anyOf": roots}
    return {
        "$schema": _DIALECT,
        "$id": entry.id,
        "title": "gemmahub error" if key == "error" else f"gemmahub {entry.command} --json",
        "description": entry.description,
        "x-version": entry.version,
        **answer,
        "$defs": definitions,
    }


def _made(entry: SchemaEntry) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """References to the shapes of an answer, and all definitions by name."""
    from msgspec.json import schema_components

    types = [_type_of(shape) for shape in entry.shapes]
    roots, definitions = schema_components(
        types, schema_hook=_plain_type, ref_template="#/$defs/{name}"
    )
    for name, definition in definitions.items():
        _finish(name, definition)
    named = {_public(name): definition for name, definition in definitions.items()}
    answers = [_renamed(root) for root in roots]
    return answers, _used(answers, _renamed(named))


def _used(answers: list[dict[str, Any]], definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions that the answers lead to."""
    found: dict[str, Any] = {}
    left = set(_references(answers))
    while left:
        name = left.pop()
        found[name] = definitions[name]
        left |= set(_references(definitions[name])) - found.keys()
    return {name: definitions[name] for name in definitions if name in found}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(target := value.get("$ref"), str):
            yield target.rpartition("/")[2]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _type_of(shape: str) -> Any:
    module, _, name = shape.partition(":")
    full = module if "." in module else f"{__name__}.{module}"
    return getattr(import_module(full), name)


def _plain_type(found: type) -> dict[str, Any]:
    """What msgspec does not know: a path is written as its text."""
    from pathlib import PurePath

    if issubclass(found, PurePath):
        return {"type": "string"}
    raise NotImplementedError(found)


def _finish(name: str, definition: dict[str, Any]) -> None:
    """An object has the keys of its type and no others, each with a description."""
    from gemmahub.measurements.records import Record
    from gemmahub.service.schemas.words import description_of

    if (text := definition.get("description")) is not None:
        definition["description"] = " ".join(text.replace("``", "").split())
    properties = definition.get("properties")
    if properties is None:
        return
    properties.pop(_LEFT_OUT.get(name), None)
    definition["additionalProperties"] = False
    if not (name.endswith("Json") or name in {record.__name__ for record in _below(Record)}):
        definition["required"] = list(properties)  # dataclasses are written in full
    for key, found in properties.items():
        found.pop("default", None)
        if text := description_of(_public(name), key):
            found["description"] = text
    if name == "FailureJson":
        properties["kind"]["enum"] = sorted(
            {str(vars(e).get("kind", "")) for e in _below(GemmahubError)} - {""}
        )


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    """A class and all below it."""
    yield kind
    for each in kind.__subclasses__():
        yield from _below(each)


def _public(name: str) -> str:
    return name.removesuffix("Json")


def _renamed(value: Any) -> Any:
    """The same with public names in references and titles."""
    if isinstance(value, dict):
        found = {key: _renamed(inner) for key, inner in value.items()}
        for key in ("$ref", "title"):
            if isinstance(found.get(key), str):
                found[key] = _public(found[key])
        return found
    return [_renamed(inner) for inner in value] if isinstance(value, list) else value
