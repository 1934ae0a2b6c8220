"""What is particular to one family of models: the record that each module of ``families/`` offers.

Everything else follows from numbers that a file or the catalogue states. Where llama.cpp has a
number or a rule in its code for one architecture alone, it stands in that family's record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gemmahub.memory.architecture import MemoryArchitecture
    from gemmahub.memory.graph_builder import GraphSettings
    from gemmahub.memory.step_graph import Graph

    BuildGraph = Callable[[MemoryArchitecture, GraphSettings, Sequence[int]], Graph]
    NamedShape = tuple[str, tuple[int, ...]]

ImageEncoder = tuple[Any, ...]
"""Projector, embedding length and image size of the vision part, projector of the audio part."""


@dataclass(frozen=True, kw_only=True)
class ConfigRules:
    """What a ``config.json`` of the family leaves out.

    ``defaults`` are those of the Transformers library. ``vocabulary`` is the number of words of the
    tokenizer: further rows of a checkpoint are padding that the conversion to GGUF leaves out.
    ``other_names`` are further values of ``model_type``. ``last_layer_global``: Transformers makes
    the last layer global whatever the pattern says.
    """

    defaults: Mapping[str, Any]
    vocabulary: int
    other_names: tuple[str, ...] = ()
    last_layer_global: bool = False


@dataclass(frozen=True, kw_only=True)
class FamilyRules:
    """The rules of one architecture of llama.cpp (``general.architecture``).

    ``period``: every p-th layer is global where nothing else is said (``load_swa_pattern``,
    ``src/models/*.cpp``); with 1 all are, whatever a file says. ``pattern``: whether a GGUF file
    has a flag for each layer, and whether it must. ``default_window``: tokens, where the file does
    not say. ``window_optional``: files without a window have global layers only.

    ``own_caches``: that many layers, from the first on, have a cache of their own; None: all but
    the ``attention.shared_kv_layers`` of the file where ``shares_caches``, else all.
    ``keeps_unused_kv``: files have key and value tensors also of layers without a cache.
    ``values_from_keys``: layers may lack value weights. ``copies_tied_table``: the tied table is
    read once as output and once as input when the file is not mapped.

    ``embeds``: it makes a vector of a whole text, which it reads in one step, and writes none.
    ``drafts_for``: it is a head that drafts tokens for models of that architecture, whose caches it
    reads; it has none and answers nothing by itself.

    ``fused``: one tensor makes queries, keys and values, and one gate and up. ``has_experts``: also
    its mixtures of experts were held against the engine.

    ``graph`` builds the graph of a step, of the layers with the numbers given; without it the
    compute buffers are an estimate. The first ``special_layers`` are built unlike the others.

    ``model_tensors`` and ``layer_tensors`` are GGUF tensors that other families do not have, the
    latter named as behind ``blk.N.``; ``header_keys`` the metadata that llama.cpp wants of this
    family, without prefix. ``image_buffers``: bytes that an image projector takes besides its own
    tensors. ``audio_left_out``: audio projectors that llama.cpp does not load.
    """

    title: str
    period: int
    pattern: Literal["implied", "stated", "required"] = "implied"
    default_window: int | None = None
    window_optional: bool = False
    own_caches: int | None = None
    shares_caches: bool = False
    keeps_unused_kv: bool = False
    values_from_keys: bool = False
    copies_tied_table: bool = False
    embeds: bool = False
    fused: bool = False
    has_experts: bool = False
    drafts_for: str = ""
    graph: BuildGraph | None = None
    special_layers: int = 0
    config: ConfigRules | None = None
    model_tensors: Callable[[MemoryArchitecture], Sequence[NamedShape]] = lambda _: ()
    layer_tensors: Callable[[MemoryArchitecture], Sequence[NamedShape]] = lambda _: ()
    header_keys: Callable[[MemoryArchitecture], Mapping[str, Any]] = lambda _: {}
    image_buffers: Mapping[ImageEncoder, int] = field(default_factory=dict)
    audio_left_out: tuple[str, ...] = ()
