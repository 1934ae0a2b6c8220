"""The JSON of the machine and the installation: ``ps``, ``plugins``, ``config``, ``schema``,
and of failures."""

from __future__ import annotations

from typing import Any, TypedDict

from gemmahub.service.plugin_rows import PluginRow
from gemmahub.service.schemas.model_shapes import PrecisionJson


class LoadedModelJson(TypedDict):
    """A model that an engine holds in memory now; figures are the engine's own."""

    name: str
    backend: str
    reference: str
    label: str
    memory_bytes: int | None
    device_bytes: int | None
    context: int | None
    device: str
    until: str
    place: str
    precision: PrecisionJson | None
    mismatch: str | None


class LoadedModelsJson(TypedDict):
    """The models in memory."""

    models: list[LoadedModelJson]
    remarks: list[str]


class FormatChoiceJson(TypedDict):
    """Which backend runs a format when none is named, and why."""

    backend: str | None
    reason: str


class PluginsJson(TypedDict):
    """The installed plugins, and the backend of each format."""

    plugins: list[PluginRow]
    formats: dict[str, FormatChoiceJson]


class SettingJson(TypedDict):
    """A setting with the value in effect."""

    name: str
    value: Any
    set: bool
    origin: str
    help: str
    type: str
    default: Any
    choices: list[Any]
    env: str | None
    secret: bool
    problem: str | None


class SettingsJson(TypedDict):
    """All settings."""

    settings: list[SettingJson]


class PluginJson(TypedDict):
    """One plugin with the options of its backends and its settings."""

    plugin: PluginRow
    options: dict[str, list[SettingJson]]
    settings: list[SettingJson]


class SchemaRowJson(TypedDict):
    """One schema."""

    name: str
    version: int
    command: str
    description: str


class SchemaListJson(TypedDict):
    """The schemas of this program's JSON."""

    schemas: list[SchemaRowJson]


class FailureJson(TypedDict):
    """What went wrong, and what to do."""

    kind: str
    message: str
    hint: str


class ErrorJson(TypedDict):
    """What any command prints with ``--json`` when it fails."""

    error: FailureJson
