"""Memory records as text: the same comes back, hostile files give a reason."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.catalog.header import header_metadata
from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.errors import GemmahubError
from gemmahub.formats.tensor import Tensor
from gemmahub.memory import (
    MachineMemory,
    MemoryArchitecture,
    Weights,
    from_gguf,
    packed,
    unpack,
    weights_of,
)
from gemmahub.planning.fit import Fit, fit_of

CATALOG = load_catalog()
MODELS = [m for m in CATALOG.models if any(v.types for v in m.variants)]
HOST = MachineMemory((), 64 << 30, 64 << 30)


def file_of(name: str) -> tuple[dict[str, Any], list[Tensor]]:
    """Metadata and tensors of the first variant of a model whose types are known."""
    model = CATALOG.model(name)
    assert model is not None
    types = next(v.types for v in model.variants if v.types)
    metadata = {
        key: getattr(value, "value", value)
        for key, value in header_metadata(model.architecture).items()
    }
    return metadata, variant_tensors(model.architecture, types)


@pytest.mark.parametrize("name", [model.name for model in MODELS])
def test_what_was_stored_comes_back(name: str) -> None:
    metadata, tensors = file_of(name)
    architecture, weights = from_gguf(metadata, tensors), weights_of(tensors)
    assert isinstance(architecture, MemoryArchitecture), architecture
    text = packed("gguf", metadata, tensors)
    assert unpack(text) == (architecture, weights)
    assert len(text) < 4000


def test_equal_models_give_the_same_objects() -> None:
    one, other = (packed("gguf", *file_of("gemma-3-1b-it")) for _ in range(2))
    assert one == other
    assert unpack(one) is unpack(other)


def test_every_field_is_stored() -> None:
    data = json.loads(packed("gguf", *file_of("gemma-3-1b-it")))
    assert {*data["architecture"], "layers"} == {f.name for f in fields(MemoryArchitecture)}
    assert set(data["weights"]) == {f.name for f in fields(Weights)}


@pytest.mark.parametrize(
    ("format_", "metadata", "tensors", "words"),
    [
        ("mlx", {}, [], "only its engine knows the memory use of a mlx model"),
        ("gguf", {}, [], "nameless"),
        ("gguf", {"general.architecture": "mamba", "mamba.ssm.x": 1}, [], "more state than keys"),
        ("gguf", None, [Tensor("blk.0.x", "TQ9_9", (8,), 8, None)], "of unknown size"),
        ("gguf", None, [Tensor("blk.4000000000.x", "F32", (8,), 8, 32)], "layer 4000000000"),
        ("gguf", None, [Tensor("blk.2.x", "F32", (8,), 8, 32)], "26 layers, but has tensors of 3"),
    ],
)
def test_the_reason_is_stored(
    format_: str, metadata: Any, tensors: list[Tensor], words: str
) -> None:
    if metadata is None:
        metadata = file_of("gemma-3-1b-it")[0]
    with pytest.raises(GemmahubError) as caught:
        unpack(packed(format_, metadata, tensors))
    assert words in caught.value.message
    assert caught.value.hint


@given(
    key=st.sampled_from(sorted(file_of("gemma-3-1b-it")[0])),
    value=st.one_of(
        st.integers(-2, 2), st.integers(-(2**63), 2**64), st.booleans(), st.none(), st.text(),
        st.floats(), st.lists(st.integers(-1, 2**40), max_size=30),
    ),
)  # fmt: skip
def test_no_metadata_breaks_a_listing(key: str, value: Any) -> None:
    metadata, tensors = file_of("gemma-3-1b-it")
    text = packed("gguf", metadata | {key: value}, tensors)
    try:
        model = unpack(text)
    except GemmahubError:
        return
    assert isinstance(fit_of(model, HOST), Fit)


@pytest.mark.parametrize("sizes", ["layers", "largest", "repackable", "experts"])
def test_sizes_of_another_number_of_layers_are_damage(sizes: str) -> None:
    data = json.loads(packed("gguf", *file_of("gemma-3-1b-it")))
    data["weights"][sizes] = data["weights"][sizes][:-1]
    with pytest.raises(GemmahubError, match="damaged"):
        unpack(json.dumps(data))
