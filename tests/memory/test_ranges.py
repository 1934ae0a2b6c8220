"""Numbers of a stranger's header: each is in its range, or the reason why not is said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import GemmahubError
from gemmahub.formats.tensor import Tensor
from gemmahub.memory import (
    LayerShape,
    MachineMemory,
    MemoryArchitecture,
    MemorySettings,
    UnknownArchitecture,
    Weights,
    from_config,
    from_gguf,
    largest_context,
    packed,
    plan_memory,
    unpack,
)
from gemmahub.memory import step_graph as graphs
from gemmahub.memory.builds import LIBRARY_BUILD
from gemmahub.memory.compute import schedule_of
from gemmahub.memory.families import gemma4 as gemma4_family
from gemmahub.memory.graph_builder import GraphSettings
from gemmahub.memory.ranges import RANGES

if TYPE_CHECKING:
    from collections.abc import Iterable
_GRAPH = GraphSettings(
    flash_attention=True, quantised_k=False, quantised_v=False, build=LIBRARY_BUILD
)

GEMMA4: dict[str, Any] = {
    "context_length": 8192,
    "embedding_length": 64,
    "block_count": 2,
    "feed_forward_length": 128,
    "attention.head_count": 4,
    "attention.head_count_kv": (2, 1),
    "attention.key_length": 32,
    "attention.value_length": 32,
    "attention.key_length_swa": 16,
    "attention.value_length_swa": 16,
    "attention.sliding_window": 64,
    "attention.sliding_window_pattern": (True, False),
    "attention.shared_kv_layers": 0,
    "embedding_length_per_layer_input": 0,
    "expert_count": 8,
    "expert_used_count": 2,
    "expert_feed_forward_length": 32,
    "vocab_size": 100,
}
# No number that a header can hold is taken for any of these, whatever its range.
NEVER = [-1, 1 << 31, (1 << 64) - 1, 10**400, 1.5, float("nan"), True, "8", "\x1b[2J" * 900, ()]
EVERYWHERE = sorted(GEMMA4.keys() - {"attention.sliding_window_pattern"})


def gemma4(
    tensors: Iterable[Tensor] = (), /, **changes: Any
) -> MemoryArchitecture | UnknownArchitecture:
    keys = {key: value for key, value in {**GEMMA4, **changes}.items() if value is not None}
    about = {f"gemma4.{key}": value for key, value in keys.items()}
    return from_gguf({"general.architecture": "gemma4", **about}, tensors)


def refused(found: MemoryArchitecture | UnknownArchitecture) -> str:
    assert isinstance(found, UnknownArchitecture)
    assert found.reason
    assert found.reason.isprintable()
    assert len(found.reason) < 300
    return found.reason


@pytest.mark.parametrize("value", NEVER, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("key", EVERYWHERE)
def test_no_key_of_a_header_takes_a_number_that_cannot_be(key: str, value: Any) -> None:
    reason = refused(gemma4(**{key: value}))
    assert f"gemma4.{key}" in reason


@pytest.mark.parametrize("key", EVERYWHERE)
def test_a_number_in_an_array_is_looked_at_as_well(key: str) -> None:
    for item in NEVER[:-1]:
        refused(gemma4(**{key: (2, item)}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"block_count": 0}, "from 1 to 512"),
        ({"block_count": 513}, "LLAMA_MAX_LAYERS"),
        ({"embedding_length": 0}, "from 1 to"),
        ({"vocab_size": 0}, "vocabulary"),
        ({"expert_count": 1025, "expert_used_count": 8}, "LLAMA_MAX_EXPERTS"),
        ({"expert_used_count": 9}, "9 experts are used of 8"),
        ({"expert_used_count": 0}, "none of its 8 experts is used"),
        ({"expert_count": 0}, "2 experts are used of 0"),
        ({"expert_used_count": None}, "none of its 8 experts is used"),
        ({"attention.shared_kv_layers": 1}, "1 of 2 layers have a cache of their own"),
        ({"attention.shared_kv_layers": 512}, "0 of 2 layers have a cache"),
        ({"attention.sliding_window_pattern": (True,)}, "has 1 entries"),
        ({"attention.head_count_kv": (1,)}, "each of 2 layers"),
        ({"block_count": 3}, "has 2 entries"),
        ({"attention.sliding_window": None}, "is missing"),
    ],
)
def test_numbers_that_do_not_agree(changes: dict[str, Any], reason: str) -> None:
    assert reason in refused(gemma4(**changes))


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("token_embd.weight", (65, 100), "65 x 100"),
        ("blk.0.attn_q.weight", (64, 128), "64 x 128, but the header states 64 x 64"),
        ("blk.1.attn_k.weight", (64, 64), "64 x 64, but the header states 64 x 32"),
        ("blk.0.ffn_up.weight", (64, 127), "64 x 127"),
        ("blk.1.ffn_gate_up_exps.weight", (64, 64, 7), "64 x 64 x 7"),
        ("blk.0.ffn_down_exps.weight", (32, 64, 1 << 40), "1,099,511,627,776"),
        ("blk.0.ffn_gate_inp.weight", (64, 128), "64 x 128"),
        ("blk.0.attn_norm.weight", (64,), "no tensor holds any of its 8 experts"),
    ],
)
def test_widths_and_experts_are_those_of_the_tensors(
    name: str, shape: tuple[int, ...], reason: str
) -> None:
    assert reason in refused(gemma4([Tensor(name, "F32", shape, 1, 4)]))


def test_the_largest_of_everything_is_planned() -> None:
    largest = {
        key: RANGES[field].highest
        for key, field in {
            "context_length": "context_length",
            "embedding_length": "embedding_length",
            "block_count": "layers",
            "feed_forward_length": "feed_forward_length",
            "attention.head_count": "heads",
            "attention.head_count_kv": "kv_heads",
            "attention.key_length": "key_length",
            "attention.value_length": "value_length",
            "attention.sliding_window": "sliding_window",
            "expert_count": "experts",
            "expert_used_count": "experts_used",
            "expert_feed_forward_length": "expert_feed_forward_length",
            "embedding_length_per_layer_input": "per_layer_embedding_length",
            "vocab_size": "vocabulary",
        }.items()
    }
    found = gemma4(**largest, **{"attention.sliding_window_pattern": (True, False) * 256})
    assert isinstance(found, MemoryArchitecture)
    assert plan_of_nothing(found) > 1 << 50


def plan_of_nothing(architecture: MemoryArchitecture) -> int:
    """Bytes of the KV cache of a model without weights; the largest context is looked for too."""
    none = (0,) * len(architecture.layers)
    weights = Weights(0, 0, none, none, none, none, 0, tied=True)
    machine = MachineMemory((), 64 << 30, 32 << 30)
    assert largest_context(architecture, weights, MemorySettings(8192), machine) == 0
    plan = plan_memory(architecture, weights, MemorySettings(8192), machine)
    return plan.total_bytes


def test_what_a_graph_costs_does_not_grow_with_the_experts_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    make = graphs.Node.__init__

    def counted(self: graphs.Node, *about: Any, **more: Any) -> None:
        made.append(1)
        make(self, *about, **more)

    monkeypatch.setattr(graphs.Node, "__init__", counted)
    counts = []
    for used in (8, 1024):
        found = gemma4(expert_count=1024, expert_used_count=used)
        assert isinstance(found, MemoryArchitecture)
        made.clear()
        schedule_of(found, _GRAPH)
        counts.append(len(made))
    assert counts[0] == counts[1]


def test_a_sum_of_three_experts_takes_the_memory_of_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = _GRAPH
    for used in (1, 2, 3, 4, 8, 128):
        found = gemma4(expert_count=128, expert_used_count=used)
        assert isinstance(found, MemoryArchitecture)
        schedule_of.cache_clear()
        short = schedule_of(found, settings)
        schedule_of.cache_clear()
        with monkeypatch.context() as patched:
            patched.setattr(gemma4_family, "_SUMMED", 1024)
            assert schedule_of(found, settings) == short, used
    schedule_of.cache_clear()


CONFIG: dict[str, Any] = {"model_type": "gemma4_text", "num_hidden_layers": 6}
EXPERTS = {"enable_moe_block": True, "num_experts": 8, "top_k_experts": 2}
EXPERTS |= {"moe_intermediate_size": 32}


@pytest.mark.parametrize("value", [*NEVER, [1], {}], ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize(
    "field",
    [
        "num_hidden_layers", "num_kv_shared_layers", "hidden_size", "hidden_size_per_layer_input",
        "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim",
        "global_head_dim", "vocab_size", "max_position_embeddings", "sliding_window",
        "num_experts", "top_k_experts", "moe_intermediate_size", "sliding_window_pattern",
    ],
)  # fmt: skip
def test_no_field_of_a_configuration_takes_a_number_that_cannot_be(field: str, value: Any) -> None:
    reason = refused(from_config({**CONFIG, **EXPERTS, field: value}))
    assert field in reason


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 0},
        {"num_hidden_layers": 513},
        {"num_kv_shared_layers": 6},
        {"intermediate_size": [64] * 5},
        {"intermediate_size": [64] * 5 + [1 << 63]},
        {"layer_types": ["full_attention"] * 5},
        {**EXPERTS, "top_k_experts": 9},
        {**EXPERTS, "top_k_experts": 0},
        {"model_type": ["gemma4"]},
        {"model_type": {"gemma4": 1}, "text_config": []},
        {"model_type": 4},
    ],
)
def test_configurations_that_do_not_agree(changes: dict[str, Any]) -> None:
    refused(from_config({**CONFIG, **changes}))


def test_what_is_remembered_is_looked_at_again(
    architectures: dict[str, MemoryArchitecture],
) -> None:
    tensors = [Tensor(f"blk.{n}.attn_norm.weight", "F32", (64,), 64, 256) for n in range(2)]
    keys = {f"gemma4.{key}": value for key, value in GEMMA4.items() if "expert" not in key}
    text = packed("gguf", {"general.architecture": "gemma4", **keys}, tensors)
    assert unpack(text)[0].layers[0] == LayerShape("window", True, 4, 2, 16, 16, 128)
    about = json.loads(text)
    damaged = [
        "", "x", "null", "[]", "{}", "5", '{"unknown": 5}', '{"unknown": [1]}', text[:50],
        "[" * 100_000, json.dumps({**about, "layers": [5]}),
        json.dumps({**about, "layers": about["layers"] * 300}),
        json.dumps({**about, "shapes": [[1]]}), json.dumps({**about, "weights": {}}),
    ]  # fmt: skip
    for key in about["architecture"]:
        for value in (-1, 1 << 63, [1], "x"):
            if key not in ("name", "tied_embedding"):
                changed = {**about["architecture"], key: value}
                damaged.append(json.dumps({**about, "architecture": changed}))
    for one in damaged:
        with pytest.raises(GemmahubError):
            unpack(one)
