"""What was measured of a model: its speed at several depths, what its precision changed.

Plain records that go to a file and come back; none holds a path, a user's name or a token.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field, to_builtins

from gemmahub.records.parsing import LATEST_TIME

Text = Annotated[str, Meta(max_length=4096)]
Amount = Annotated[float, Meta(ge=0, le=1e18)]
Number = Annotated[float, Meta(ge=-1e18, le=1e18)]
Count = Annotated[int, Meta(ge=0, le=2**60)]
Plain = bool | Annotated[int, Meta(ge=-(2**60), le=2**60)] | Number | Text | None


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all records here share."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them; what is at its default is left out."""
        plain: dict[str, Any] = to_builtins(self)
        return plain


class Spread(Record, frozen=True):
    """The middle of several runs, and the lowest and highest of them."""

    median: Amount
    low: Amount
    high: Amount
    runs: Count = 1


class Estimate(Record, frozen=True):
    """A mean, and its standard error."""

    value: Number
    error: Amount = 0.0


class MeasuredModel(Record, frozen=True):
    """What was measured. ``content`` is the sha256 of its weights (:func:`content_of` in
    ``stores.identity``), empty for a model that is no file here. ``precision`` is its summary,
    ``training`` one of those of :mod:`gemmahub.precision.training`."""

    reference: Text
    name: Text
    precision: Text
    content: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    label: Text = ""
    training: Text = ""
    bits_per_weight: Amount | None = None
    size_bytes: Count = 0


class Conditions(Record, frozen=True):
    """Where and how it was measured.

    ``machine`` names processor, devices and memory, and nothing that tells whose it is; ``engine``
    is the backend's name, ``build`` its version, with the commit where it says one; ``place`` is
    ``cpu``, ``gpu`` or ``split`` between them. ``settings`` are those that the session said it was
    loaded with. ``doubts`` say what may have disturbed it, such as a busy machine. ``at`` in
    seconds since 1970.
    """

    machine: Text
    system: Text
    engine: Text
    build: Text
    at: Annotated[float, Meta(ge=0, le=LATEST_TIME)]
    place: Literal["cpu", "gpu", "split"] = "cpu"
    settings: dict[Text, Plain] = field(default_factory=dict)
    doubts: tuple[Text, ...] = ()


class DepthSpeed(Record, frozen=True):
    """Tokens a second with that many tokens already in the cache."""

    depth: Count
    prefill: Spread | None = None
    decode: Spread | None = None
    first_token_seconds: Spread | None = None


class MeasuredMemory(Record, frozen=True):
    """Bytes: what the plan said, what the engine says it allocated, and the most that its process
    and the accelerators were seen to take; None where nobody tells."""

    planned: Count | None = None
    engine: Count | None = None
    process: Count | None = None
    devices: Count | None = None


class SpeedResult(Record, frozen=True, tag_field="kind", tag="speed"):
    """How fast a model was. ``parallel`` counts the conversations that were answered at once; the
    speeds are then of all together."""

    kind: ClassVar[str] = "speed"
    model: MeasuredModel
    conditions: Conditions
    depths: Annotated[tuple[DepthSpeed, ...], Meta(max_length=64)] = ()
    load_seconds: Spread | None = None
    parallel: Count = 1
    memory: MeasuredMemory = MeasuredMemory()


class MeasuredText(Record, frozen=True):
    """The text that a model was measured with. ``tokens`` are those that were scored."""

    name: Text
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    window: Count
    chunks: Count
    tokens: Count


class Divergence(Record, frozen=True):
    """How far the probabilities of a model's tokens are from a reference's.

    Kullback-Leibler divergences in nats, of the reference's from the model's; ``same_top`` is the
    share of places where both find the same token most probable, ``rms_change`` the root of the
    mean squared change of the probability of the text's own tokens. ``method`` says how the sums
    over all tokens of the vocabulary were taken, and how exact that is.
    """

    reference: MeasuredModel
    mean: Estimate
    median: Number
    percentile_99: Number
    same_top: Estimate
    rms_change: Estimate
    method: Text = ""


class QualityResult(Record, frozen=True, tag_field="kind", tag="quality"):
    """Perplexity by llama-perplexity's method, and the divergence from a reference."""

    kind: ClassVar[str] = "quality"
    model: MeasuredModel
    conditions: Conditions
    text: MeasuredText
    perplexity: Estimate
    divergence: Divergence | None = None


Result = SpeedResult | QualityResult
