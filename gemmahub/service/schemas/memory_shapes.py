"""The JSON of memory, speed and choice: ``plan``, ``recommend`` and ``compare``."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from gemmahub.hardware.records import Machine
from gemmahub.measurements.records import QualityResult, SpeedResult
from gemmahub.service.schemas.model_shapes import FitJson, PrecisionJson


class PlanSettingsJson(TypedDict):
    """The settings that a plan is for."""

    context: int
    cache_type_k: str
    cache_type_v: str
    flash_attention: bool
    full_swa_cache: bool
    ubatch: int
    parallel: int
    outputs_max: int
    gpu_layers: int


class PlacementJson(TypedDict):
    """What of a model stays in system memory beside a GPU."""

    experts_in_memory: int
    cache_in_memory: bool
    flags: list[str]


class DeviceMemoryJson(TypedDict):
    """One place that holds a part of the model."""

    device: str
    total_bytes: int
    capacity_bytes: int
    free_bytes: int


class MemoryJson(TypedDict):
    """The memory of a plan, by component."""

    weights_bytes: int
    kv_cache_bytes: int
    kv_cache_global_bytes: int
    kv_cache_window_bytes: int
    compute_bytes: int
    output_bytes: int
    projector_bytes: int
    drafter_bytes: int
    overhead_bytes: int
    saved_bytes: int
    total_bytes: int
    mapped_bytes: int
    repack_bytes: int
    devices: list[DeviceMemoryJson]


class PlannedContextJson(TypedDict):
    """The total with one context and one cache type."""

    context: int
    cache_type: str
    total_bytes: int
    fits: bool


class ComparedContextJson(PlannedContextJson):
    """The same, with what is left."""

    headroom_bytes: int


class VerifiedPartJson(TypedDict):
    """One part of one place, predicted and actual."""

    device: str
    part: str
    predicted_bytes: int
    actual_bytes: int
    difference: float | None


class ResidentJson(TypedDict):
    """Resident memory of the engine's process."""

    total_bytes: int
    file_bytes: int | None
    anonymous_bytes: int | None
    source: str


class VerificationJson(TypedDict):
    """What a real load took."""

    engine: str
    device: str
    parts: list[VerifiedPartJson]
    total_bytes: int
    repack_bytes: int
    predicted_repack_bytes: int
    predicted_mapped_bytes: int
    predicted_anonymous_bytes: int
    resident: ResidentJson | None
    prompt_tokens: int
    tokens: int


class PlanJson(TypedDict):
    """A model's memory use with given settings."""

    reference: str
    precision: PrecisionJson
    settings: PlanSettingsJson
    placement: PlacementJson
    memory: MemoryJson
    basis: str
    engine: str
    fits: bool
    headroom_bytes: int
    largest_context: int
    drafter: str | None
    contexts: list[PlannedContextJson]
    largest_contexts: dict[str, int]
    notes: list[str]
    actual: NotRequired[VerificationJson]


class SpeedFiguresJson(TypedDict):
    """Estimated speeds, each with its band; null where the memory's bandwidth is not known."""

    tokens_per_second: float | None
    tokens_per_second_low: float | None
    tokens_per_second_high: float | None
    seconds_to_first_token_1000: float | None
    seconds_to_first_token_1000_low: float | None
    seconds_to_first_token_1000_high: float | None
    seconds_to_read_context: float | None
    seconds_to_read_context_low: float | None
    seconds_to_read_context_high: float | None
    speed_basis: str
    quality: float | None
    quality_loss: float | None
    quality_basis: str


class ScoreJson(TypedDict):
    """The parts of a score in points: the published score, and what is taken off."""

    published: float
    precision: float
    cache: float
    base_model: float
    context: float
    speed: float
    reading: float
    total: float


class ScorePartJson(TypedDict):
    """What one of four parts gave to a score."""

    name: Literal["quality", "speed", "fit", "context"]
    points: float
    level: float | None
    figure: str
    source: str


class RecommendationJson(SpeedFiguresJson):
    """One recommended model with its settings."""

    rank: int
    reference: str
    name: str
    precision: PrecisionJson
    settings: PlanSettingsJson
    placement: PlacementJson
    memory: MemoryJson
    headroom_bytes: int
    largest_context: int
    points: float
    score: ScoreJson
    explanation: list[ScorePartJson]
    usable: bool
    room_on_disk: bool
    reasons: list[str]
    installed: bool
    command: str


class RightBuildJson(TypedDict):
    """What another build of the engine would run on devices that this one does not use."""

    engine: str
    devices: list[str]
    hint: str
    recommendation: RecommendationJson


class RecommendJson(TypedDict):
    """What a machine runs best."""

    machine: Machine
    recommendations: list[RecommendationJson]
    right_build: NotRequired[RightBuildJson]


class RolePrecisionJson(TypedDict):
    """What the weights of one role are stored in."""

    role: str
    share: float
    types: list[str]
    bits_per_weight: float | None


class MeasuredFiguresJson(TypedDict):
    """What was measured of a variant on this machine; null where nothing was."""

    quality: QualityResult | None
    speed: SpeedResult | None


class ComparedVariantJson(SpeedFiguresJson):
    """One side of a comparison."""

    reference: str
    name: str
    format: str
    parameters: int
    size_bytes: int | None
    installed: bool
    remote: str | None
    precision: PrecisionJson
    precision_by_role: list[RolePrecisionJson]
    fit: FitJson
    contexts: list[ComparedContextJson]
    largest_contexts: dict[str, int]
    gpu_layers: int | None
    placement: PlacementJson | None
    memory_basis: str
    settings: PlanSettingsJson | None
    measured: MeasuredFiguresJson


class DifferenceJson(TypedDict):
    """What sets a variant apart from the first."""

    reference: str
    against: str
    words: list[str]


class CompareJson(TypedDict):
    """Variants side by side."""

    machine: Machine
    use: str
    variants: list[ComparedVariantJson]
    differences: list[DifferenceJson]
