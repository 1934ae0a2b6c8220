"""The JSON of models and files: ``list``, ``inspect``, ``search``, ``pull`` and ``quantize``."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from gemmahub.engines.contract import ServedModel


class PrecisionTypeJson(TypedDict):
    """All tensors of one type."""

    type: str
    tensors: int
    parameters: int
    bytes: int | None


class PrecisionRoleJson(TypedDict):
    """All tensors of one role and type."""

    role: str
    type: str
    tensors: int
    parameters: int
    bytes: int | None


class PrecisionJson(TypedDict):
    """What the weights are stored in, measured from the tensors where there are some."""

    label: str
    label_in_name: str | None
    number_format: str
    bits: int | None
    bits_per_weight: float | None
    training: str
    training_basis: str
    training_note: str | None
    summary: str
    stated: bool
    mismatch: str | None
    types: list[PrecisionTypeJson]
    roles: list[PrecisionRoleJson]


class ArchitectureJson(TypedDict):
    """The shape of a model; null for what its file does not say."""

    name: str | None
    layers: int | None
    embedding_length: int | None
    context_length: int | None
    sliding_window: int | None


class MemberJson(TypedDict):
    """A model of the family that is for one purpose."""

    name: str
    title: str
    what: str
    runs: str
    licence: str
    gated: bool


class OutdatedJson(TypedDict):
    """Why a file was replaced by its publisher, and by what."""

    published: str | None
    reason: str
    aborts: str | None
    pull: str
    confirmed: bool


class PlaceJson(TypedDict):
    """One place where the files of a model are."""

    path: str
    store: str
    bytes: int | None
    last_used: float | None


class FitJson(TypedDict):
    """Whether a model fits in the memory that is free now."""

    fits: bool | None
    largest_context: int | None
    short_bytes: int | None
    reason: str


class ModelJson(TypedDict):
    """A model at one precision in one format, or a file that belongs to one."""

    reference: str
    name: str
    format: str
    kind: str
    parameters: int
    size_bytes: int | None
    precision: PrecisionJson
    architecture: ArchitectureJson
    capabilities: list[str]
    chat_template: bool | None
    installed: bool
    confirmed: bool
    problem: str | None
    member: MemberJson | None
    outdated: OutdatedJson | None
    places: list[PlaceJson]
    remote: str | None
    served: ServedModel | None
    licence: str | None
    notes: list[str]


class MeasuredSpeedJson(TypedDict):
    """Decode speed that was measured on this machine."""

    tokens_per_second: float
    basis: str


class ListedModelJson(ModelJson):
    """A model of the list, with its fit and its speed here."""

    fit: FitJson
    measured_speed: MeasuredSpeedJson | None


class CompanionJson(ModelJson):
    """A file that belongs to a model: a projector, a drafter, an adapter."""

    of: str | None


class BrokenModelJson(TypedDict):
    """An entry of a store that should be a model and is not."""

    path: str
    store: str
    reason: str


class ListJson(TypedDict):
    """The models on this machine."""

    models: list[ListedModelJson]
    companions: list[CompanionJson]
    broken: list[BrokenModelJson]


class FoundFileJson(TypedDict):
    """A model file in a repository."""

    reference: str
    path: str
    format: str
    label: str | None
    basis: str
    size_bytes: int | None
    qat: bool
    bits_per_weight: float | None
    catalogued: str
    kind: str
    fit: FitJson
    confirmed: bool
    missing: list[str]


class FoundRepositoryJson(TypedDict):
    """A repository that was found, with the models in it."""

    name: str
    files: list[FoundFileJson]
    official: bool
    catalogued: bool
    gated: str
    private: bool
    licence: str
    downloads: int | None
    projector: bool
    member: MemberJson | None


class SearchJson(TypedDict):
    """The repositories that were found."""

    repositories: list[FoundRepositoryJson]


class PulledFileJson(TypedDict):
    """A file of a download."""

    file: str
    kind: str
    repository: str | None
    size_bytes: int
    sha256: str | None
    fetch_bytes: NotRequired[int]
    path: NotRequired[str]
    fetched_bytes: NotRequired[int]
    verified: NotRequired[bool]


class PullJson(TypedDict):
    """What a pull would fetch (``--dry-run``), or what it fetched."""

    reference: str
    name: str
    format: str
    kind: str
    precision: PrecisionJson
    repository: str | None
    revision: str | None
    size_bytes: int | None
    fetch_bytes: int
    destination: str | None
    free_bytes: int | None
    short_bytes: int
    fit: FitJson
    places: list[str]
    files: list[PulledFileJson]
    notes: list[str]
    command: str
    path: NotRequired[str | None]
    fetched_bytes: NotRequired[int]


class FallbackJson(TypedDict):
    """Tensors that cannot have the type that was asked for."""

    role: str
    tensors: int
    wanted: str
    type: str
    columns: int


class RoundingJson(TypedDict):
    """How much rounding changed the weights."""

    type: str
    tensors: int
    weights: int
    naive_error: float
    lattice_error: float
    blocks_on_lattice: float


class RoundingDivergenceJson(TypedDict):
    """How far a rounding is from the source, in nats."""

    divergence: float
    error: float
    median: float
    percentile_99: float
    same_top: float
    same_top_error: float


class ComparedRoundingsJson(TypedDict):
    """Both roundings of a file beside each other."""

    lattice: RoundingDivergenceJson
    naive: RoundingDivergenceJson
    text: str
    windows: int
    kept: Literal["lattice", "naive"]


class QuantizeJson(TypedDict):
    """What would be made (``--dry-run``), or what was made."""

    source: str
    source_precision: PrecisionJson
    source_bytes: int | None
    path: str
    label: str
    precision: PrecisionJson
    size_bytes: int
    backend: str
    importance: str | None
    lattice: bool
    fallbacks: list[FallbackJson]
    fit: FitJson
    quality: float | None
    quality_loss: float | None
    quality_basis: str
    free_bytes: int | None
    metadata: dict[str, Any]
    notes: list[str]
    reference: NotRequired[str]
    listed: NotRequired[bool]
    rounding: NotRequired[RoundingJson | None]
    compared: NotRequired[ComparedRoundingsJson | None]
    command: NotRequired[str]
