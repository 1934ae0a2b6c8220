"""The plan of memory against what XLA says that it allocates for the library, on a CPU."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.formats.tensor import Tensor
from gemmahub_jax.memory import cache_bytes, computation_bytes, plan, prompt_lengths
from gemmahub_jax.shapes import ModelShape, shape_of

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_jax.backend import JaxBackend

pytestmark = pytest.mark.filterwarnings("default")
NAMES = {"bfloat16": "BF16", "float32": "F32"}
MOST = 1.6
"""How many times what XLA says the formula may say at most, of the computation alone."""


def measured(model: Any, shapes: Any, tokens: int, cells: int) -> int:
    """Bytes that XLA allocates besides arguments and results; weights are not needed for that."""
    import jax
    import jax.numpy as jnp

    dtype = jax.tree.leaves(shapes)[0].dtype
    cache = jax.eval_shape(lambda: model.config.init_cache(1, dtype, cache_length=cells))

    def compute(params: Any, said: Any, cache: Any, positions: Any, mask: Any) -> Any:
        found = model.apply(
            {"params": params},
            tokens=said,
            cache=cache,
            positions=positions,
            attention_mask=mask,
            return_last_only=tokens > 1,
        )
        return found.logits, found.cache

    row = jax.ShapeDtypeStruct((1, tokens), jnp.int32)
    mask = jax.ShapeDtypeStruct((1, tokens, cells), jnp.bool_)
    compiled = jax.jit(compute).lower(shapes, row, cache, row, mask).compile()
    return int(compiled.memory_analysis().temp_size_in_bytes)


def shape_from(params: Any) -> ModelShape:
    import jax

    return shape_of(
        [
            Tensor(
                ".".join(str(key.key) for key in path),
                NAMES[str(leaf.dtype)],
                leaf.shape,
                leaf.size,
                leaf.size * leaf.dtype.itemsize,
            )
            for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]
        ]
    )


@pytest.mark.parametrize(
    ("dtype", "tokens", "cells", "sizes"),
    [
        ("bfloat16", 1, 256, {}),
        ("bfloat16", 256, 256, {}),
        ("bfloat16", 512, 512, {"hidden_dim": 2048}),
        ("bfloat16", 1, 4096, {"num_kv_heads": 4}),
        ("bfloat16", 1, 256, {"num_embed": 8192}),
        ("float32", 1, 256, {"hidden_dim": 2048}),
        ("float32", 256, 256, {}),
    ],
)
def test_computations_never_take_more_than_planned(
    backend: JaxBackend, dtype: str, tokens: int, cells: int, sizes: dict[str, int]
) -> None:
    from tiny_checkpoint import random_model

    model, params = random_model(dtype, **sizes)
    planned = computation_bytes(shape_from(params), tokens, cells, host=True)
    found = measured(model, params, tokens, cells)
    assert found <= planned <= MOST * found, (found, planned)


def test_a_real_load_takes_what_the_plan_says(backend: JaxBackend, tmp_path: Path) -> None:
    """What the arrays of weights and of both caches take while an answer is given."""
    import jax
    from tiny_checkpoint import random_model, write_checkpoint

    from gemmahub.engines.contract import Sampling

    folder = write_checkpoint(tmp_path / "tiny", random_model()[1])
    artifact = Artifact("orbax", folder, name="tiny")
    gc.collect()  # what other tests left
    before = sum(array.nbytes for array in jax.live_arrays())
    planned = backend.dry_load(artifact, Settings(context=256, gpu_layers=0))
    with backend.load(artifact, Settings(context=256)) as session:
        loaded = sum(array.nbytes for array in jax.live_arrays()) - before
        assert loaded == planned.weights_bytes
        sampling = Sampling(temperature=0, max_tokens=3)
        list(session.generate("abc", sampling))  # compiles
        gc.collect()
        chunks = session.generate("abc", sampling)
        next(chunks)
        answering = sum(array.nbytes for array in jax.live_arrays()) - before
        both = planned.weights_bytes + 2 * planned.kv_cache_bytes
        # JAX keeps a third state for a while, which the part for prompts has room for.
        assert (
            both
            <= answering
            <= planned.weights_bytes
            + planned.kv_cache_bytes
            + (planned.compute_bytes + planned.output_bytes)
        )
        list(chunks)


@pytest.mark.quick
def test_prompts_are_padded_to_few_lengths() -> None:
    assert prompt_lengths(512) == (64, 128, 256, 512)
    assert prompt_lengths(600) == (64, 128, 256, 512, 600)
    assert prompt_lengths(20) == (20,)


def _shape(layers: int = 34, **changes: Any) -> ModelShape:
    """Gemma 3 4B, by the shapes of its arrays."""
    tensors = [Tensor("embedder.input_embedding", "BF16", (262144, 2560), 1, 1342177280)]
    for number in range(layers):
        for name, dims in (
            ("attn.q_einsum.w", (8, 2560, 256)),
            ("attn.kv_einsum.w", (2, 4, 2560, 256)),
            ("attn.attn_vec_einsum.w", (8, 256, 2560)),
            ("attn._query_norm.scale", (256,)),
            ("attn._key_norm.scale", (256,)),
            ("mlp.gating_einsum", (2, 10240, 2560)),
            ("mlp.linear", (10240, 2560)),
            ("post_attention_norm.scale", (2560,)),
        ):
            size = 1
            for length in dims:
                size *= length
            tensors.append(Tensor(f"layer_{number}.{name}", "BF16", dims, size, 2 * size))
    return shape_of(tensors)


@pytest.mark.quick
def test_every_layer_has_the_whole_context() -> None:
    """The library keeps no window's cache small: 34 layers of 4 heads, 139,264 bytes a token."""
    shape = _shape()
    assert cache_bytes(shape, 1) == 34 * (2 * 4 * 256 * 2 + 8)
    assert plan(shape, 4096, host=False).kv_cache_bytes == 4097 * 34 * 4100 + 34 * 4


@pytest.mark.quick
def test_prompts_of_twice_the_length_take_four_times_the_scores() -> None:
    shape = _shape()
    short, long = (plan(shape, size, host=False).compute_bytes for size in (8192, 16384))
    assert 3 < long / short < 4


@pytest.mark.quick
def test_a_processor_holds_weights_in_single_precision_as_well() -> None:
    shape = _shape()
    more = plan(shape, 256, host=True).compute_bytes - plan(shape, 256, host=False).compute_bytes
    assert more > 3 * (shape.weights_bytes - 1342177280) // 2
