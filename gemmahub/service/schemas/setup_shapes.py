"""The JSON of ``setup``, ``presets`` and ``doctor``."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from gemmahub.hardware.records import Machine
from gemmahub.service.plugin_rows import BackendRow
from gemmahub.service.schemas.memory_shapes import RecommendationJson, RightBuildJson


class RepairJson(TypedDict):
    """What `doctor --fix` would do about a check."""

    text: str
    asks: bool


class CheckJson(TypedDict):
    """A check of this installation."""

    name: str
    status: Literal["ok", "warning", "failed"]
    message: str
    hint: str
    repair: RepairJson | None


class RepairedJson(TypedDict):
    """A repair that was tried."""

    name: str
    text: str
    done: bool
    reason: str | None


class ChecksJson(TypedDict):
    """The checks of this installation."""

    checks: list[CheckJson]
    repaired: list[RepairedJson]


class StoreModelsJson(TypedDict):
    """How many models a store holds."""

    store: str
    models: int
    bytes: int


class SetupStepJson(TypedDict):
    """A step of the setup."""

    step: str
    needed: bool
    text: str
    command: str | None
    problem: str | None
    detail: str | None


class SetupJson(TypedDict):
    """What this machine can run, and what is missing."""

    machine: Machine
    engines: list[BackendRow]
    stores: list[StoreModelsJson]
    models: int
    offline: str | None
    recommendations: list[RecommendationJson]
    installed: RecommendationJson | None
    nothing_fits: str | None
    right_build: RightBuildJson | None
    steps: list[SetupStepJson]


class PresetJson(TypedDict):
    """A preset: the settings that it names."""

    name: str
    reference: str
    model: str
    backend: NotRequired[str]
    context: NotRequired[int]
    cache_type: NotRequired[str]
    gpu_layers: NotRequired[int]
    experts_in_memory: NotRequired[int]
    cache_in_memory: NotRequired[bool]
    threads: NotRequired[int]
    options: NotRequired[dict[str, str]]
    system: NotRequired[str]
    system_file: NotRequired[str]
    temperature: NotRequired[float]
    top_k: NotRequired[int]
    top_p: NotRequired[float]
    min_p: NotRequired[float]
    seed: NotRequired[int]
    max_tokens: NotRequired[int]
    stop: NotRequired[list[str]]
    think: NotRequired[bool]
    think_budget: NotRequired[int]
    tools: NotRequired[str]


class BrokenPresetJson(TypedDict):
    """A preset that cannot be used."""

    name: str
    reason: str


class PresetsJson(TypedDict):
    """All presets."""

    presets: list[PresetJson]
    broken: list[BrokenPresetJson]


class OfferedPresetJson(PresetJson):
    """A preset of a file."""

    left_out: list[str]


class ImportedPresetsJson(TypedDict):
    """The presets of a file."""

    presets: list[OfferedPresetJson]
    saved: bool
