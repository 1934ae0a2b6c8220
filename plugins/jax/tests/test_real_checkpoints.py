"""What the plugin reads of checkpoints that Orbax wrote, against what JAX says of their arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ocdbt_writer import write_ocdbt

from gemmahub.formats.source import LocalFile
from gemmahub_jax.memory import cache_bytes
from gemmahub_jax.ocdbt import Database
from gemmahub_jax.reader import OrbaxReader
from gemmahub_jax.shapes import shape_of
from gemmahub_jax.zarr import parse_array

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_jax.backend import JaxBackend

pytestmark = pytest.mark.filterwarnings("default")
BITS = {"INT4": 4, "INT8": 8}


@pytest.fixture(scope="module")
def params(backend: JaxBackend) -> Any:
    from tiny_checkpoint import random_model

    return random_model(layers=4)[1]


def said(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    model = OrbaxReader().model(folder, LocalFile)
    return {tensor.name: (tensor.type, tensor.shape) for tensor in model.tensors}


def held(params: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The same of the parameters themselves."""
    import jax

    names = {"bfloat16": "BF16", "float32": "F32", "int4": "INT4", "int8": "INT8"}
    return {
        ".".join(str(key.key) for key in path): (names[str(leaf.dtype)], leaf.shape)
        for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]
    }


def saved(params: Any, folder: Path) -> Path:
    from gemma import gm

    gm.ckpts.save_params(params, str(folder), wait_until_finished=True)
    return folder


def test_nested_as_the_library_saves_it(params: Any, tmp_path: Path) -> None:
    assert said(saved(params, tmp_path / "nested")) == held(params)


@pytest.mark.parametrize("layout", ["flat", "stacked"])
def test_layouts_of_googles_own_checkpoints(params: Any, tmp_path: Path, layout: str) -> None:
    """Made by the functions with which the library turns its parameters round."""
    from gemma.gm.ckpts import _checkpoint

    made = (
        _checkpoint._nested_to_flat(params)
        if layout == "flat"
        else _checkpoint._nested_to_stacked(params, 2)
    )
    assert said(saved(made, tmp_path / layout)) == held(params)


@pytest.mark.parametrize("zarr3", [False, True])
def test_arrays_that_are_folders(params: Any, tmp_path: Path, zarr3: bool) -> None:
    import orbax.checkpoint as ocp

    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_zarr3=zarr3)
    ocp.Checkpointer(handler).save(tmp_path / "folders", params)
    assert said(tmp_path / "folders") == held(params)


@pytest.mark.parametrize("method", ["INT4", "INT8"])
def test_integers_with_scales(params: Any, tmp_path: Path, method: str) -> None:
    """As ``gemma.peft.quantize`` makes them, the library's own way to the QAT checkpoints' form."""
    from gemma import peft

    quantized = peft.quantize(params, method=method)
    folder = saved(quantized, tmp_path / "quantized")
    wanted = {
        name: array
        for name, array in held(quantized).items()
        if not (name.endswith(".scale") and "_IntEinsum_" in name)
    }
    model = OrbaxReader().model(folder, LocalFile)
    assert said(folder) == wanted
    assert model.label == method
    kernel = next(t for t in model.tensors if t.name.endswith("q_einsum._IntEinsum_0.kernel"))
    scales = 4 * 32 * 2  # heads, length of a head, bytes
    assert kernel.bytes == kernel.parameters * BITS[method] // 8 + scales


def test_tensorstore_reads_what_the_tests_write(backend: JaxBackend, tmp_path: Path) -> None:
    """The writer by hand follows the format, so the reader is not tested with its own errors."""
    import tensorstore

    arrays = {f"layer_{n}.x.w": ("float32", (4, n + 1)) for n in range(20)}
    folder = write_ocdbt(tmp_path / "made", arrays, node_keys=6)
    spec = {"driver": "ocdbt", "base": f"file://{folder}/"}
    store = tensorstore.KvStore.open(spec).result()
    keys = store.list().result()
    with Database(folder, LocalFile) as database:
        ours = dict(database.entries())
        assert sorted(ours) == sorted(keys)
        for key in keys:
            assert len(store.read(key).result().value) == ours[key].length
        raw = store.read("layer_3.x.w/.zarray").result().value
        assert parse_array(raw, "it").shape == (4, 4)


def test_the_cache_is_that_of_the_library_to_the_byte(params: Any, tmp_path: Path) -> None:
    import jax
    from tiny_checkpoint import random_model

    shape = shape_of(OrbaxReader().model(saved(params, tmp_path / "c"), LocalFile).tensors)
    model, _ = random_model(layers=4)
    cache = model.init_cache(
        batch_size=1, dtype=params["embedder"]["input_embedding"].dtype, cache_length=301
    )
    assert cache_bytes(shape, 301) == sum(leaf.nbytes for leaf in jax.tree.leaves(cache))
    assert shape.weights_bytes == sum(leaf.nbytes for leaf in jax.tree.leaves(params))
