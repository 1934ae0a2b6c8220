"""What each kind of line in a conversation's file holds: fields, types and ranges.

Times are seconds since 1970. ``n`` is the number of a message.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from gemmahub.engines.contract import Adapter, Cluster, Sampling, Settings, Tool
from gemmahub.records.parsing import LATEST_TIME, is_plain

LAST_NUMBER: Final = 2**53
"""The largest number of a message that is read."""

Number = Annotated[int, Meta(ge=0, le=LAST_NUMBER)]
Time = Annotated[float, Meta(ge=0, lt=LATEST_TIME)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Real = Annotated[float, Meta(ge=-1e300, le=1e300)]
FilePath = Annotated[str, Meta(min_length=1, pattern=r"^[^\0]*\Z")]


class AdapterFields(Struct):
    """:class:`gemmahub.engines.contract.Adapter` as it is written."""

    path: FilePath
    scale: Real = 1.0


class ClusterFields(Struct):
    """:class:`gemmahub.engines.contract.Cluster` as it is written."""

    gpus: Whole = 1
    nodes: Whole = 1
    address: str = ""
    memory: tuple[Whole, ...] = ()


class SettingsFields(Struct):
    """:class:`gemmahub.engines.contract.Settings` as it is written."""

    context: Whole | None = None
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attention: bool = True
    ubatch: Whole = 512
    parallel: Whole = 1
    gpu_layers: Whole | None = None
    threads: Whole | None = None
    options: dict[str, Any] = field(default_factory=dict)
    drafter: FilePath | None = None
    adapters: tuple[AdapterFields, ...] = ()
    tensor_split: tuple[Real, ...] = ()
    main_device: str | None = None
    experts_in_memory: Whole | None = None
    cache_in_memory: bool = False
    remote_workers: tuple[str, ...] = ()
    cluster: ClusterFields | None = None

    def __post_init__(self) -> None:
        if not is_plain(self.options):
            raise ValueError("options: they are nested too deeply, or have a number out of range")

    def as_settings(self) -> Settings:
        """What was written."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        adapters = tuple(Adapter(Path(a.path), a.scale) for a in self.adapters)
        drafter = None if self.drafter is None else Path(self.drafter)
        c = self.cluster
        cluster = None if c is None else Cluster(c.gpus, c.nodes, c.address, c.memory)
        beside = {"adapters": adapters, "drafter": drafter, "cluster": cluster}
        return Settings(**values | beside)


class ToolFields(Struct):
    """:class:`gemmahub.engines.contract.Tool` as it is written."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


class SamplingFields(Struct):
    """:class:`gemmahub.engines.contract.Sampling` as it is written."""

    max_tokens: Whole | None = None
    temperature: Real = 1.0
    top_k: Whole | None = 64
    top_p: Real | None = 0.95
    min_p: Real | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    grammar: str | None = None
    thinking: bool | Whole | None = None
    tools: tuple[ToolFields, ...] = ()

    def __post_init__(self) -> None:
        if not is_plain(self.seed):
            raise ValueError("seed: it has more than 64 bits")
        if not is_plain(self.schema) or not all(is_plain(tool.parameters) for tool in self.tools):
            raise ValueError("schema: it is nested too deeply, or has a number out of range")

    def as_sampling(self) -> Sampling:
        """What was written."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        tools = tuple(Tool(t.name, t.description, t.parameters) for t in self.tools)
        return Sampling(**values | {"tools": tools})


class TimingsFields(Struct):
    """:class:`gemmahub.conversations.records.Timings` as it is written."""

    prompt_tokens: Count | None = None
    prefill_tokens: Count | None = None
    tokens: Count | None = None
    prefill_seconds: Time | None = None
    decode_seconds: Time | None = None
    first_token_seconds: Time = 0.0
    context_used: Count | None = None
    context: Count | None = None
    truncated: bool = False
    reasoning_tokens: Count | None = None
    reasoning_seconds: Time | None = None


class Head(Struct):
    """The first line, which also has a ``kind`` and a ``version``."""

    created: Time = 0.0
    title: str = ""
    reference: str = ""
    model: str = ""
    precision: str = ""
    engine: str = ""
    settings: SettingsFields = field(default_factory=SettingsFields)
    sampling: SamplingFields = field(default_factory=SamplingFields)
    system: str = ""
    against: tuple[str, ...] = ()


class SetLine(Struct, tag_field="kind", tag="set"):
    """What it says takes the place of what the head says."""

    at: Time = 0.0
    title: str | UnsetType = UNSET
    reference: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    precision: str | UnsetType = UNSET
    engine: str | UnsetType = UNSET
    settings: SettingsFields | UnsetType = UNSET
    sampling: SamplingFields | UnsetType = UNSET
    system: str | UnsetType = UNSET


class MessageLine(Struct, tag_field="kind", tag="message"):
    """A whole turn."""

    n: Number
    role: Literal["user", "assistant", "system", "tool"]
    text: str
    at: Time = 0.0
    images: tuple[FilePath, ...] | None = None
    audio: tuple[FilePath, ...] | None = None
    timings: TimingsFields | None = None
    finish: str = ""
    error: str = ""
    model: str = ""
    thought: str = ""
    tool_call_id: str = ""


class AnswerLine(Struct, tag_field="kind", tag="answer"):
    """An answer begins."""

    n: Number
    model: str = ""
    at: Time = 0.0


class PartLine(Struct, tag_field="kind", tag="part"):
    """More text of an answer, after more of its thought."""

    n: Number
    text: str
    at: Time = 0.0
    thought: str = ""


class CallLine(Struct, tag_field="kind", tag="call"):
    """A tool that an answer calls."""

    n: Number
    id: str
    name: str
    arguments: str
    at: Time = 0.0


class EndLine(Struct, tag_field="kind", tag="end"):
    """An answer has ended."""

    n: Number
    finish: str
    at: Time = 0.0
    timings: TimingsFields | None = None
    error: str = ""


class CutLine(Struct, tag_field="kind", tag="cut"):
    """The messages from a number on are gone."""

    n: Number
    at: Time = 0.0


Line = SetLine | MessageLine | AnswerLine | PartLine | CallLine | EndLine | CutLine
KINDS: Final[dict[str, type[Line]]] = {
    "set": SetLine,
    "message": MessageLine,
    "answer": AnswerLine,
    "part": PartLine,
    "call": CallLine,
    "end": EndLine,
    "cut": CutLine,
}
