"""Precision of folders that mlx-lm itself quantised: read from headers, held against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Sampling, Settings
from gemmahub.formats.mlx import read_model_folder
from gemmahub.registry.artifacts import read_summary
from gemmahub.testing.folder_writer import write_model_folder
from gemmahub_mlx.header import read_header

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_mlx.backend import MlxBackend


def mixed(path: str, _: object) -> bool | dict[str, Any]:
    """As Gemma folders are published: feed-forward in 8 bits, values left as they are."""
    if "v_proj" in path:
        return False
    return {"group_size": 32, "bits": 8} if "mlp" in path else True


@pytest.mark.parametrize(
    ("arguments", "types", "label"),
    [
        ({"group_size": 32, "bits": 4}, {"MLX 4-bit g32"}, "4bit"),
        ({"group_size": 64, "bits": 4}, {"MLX 4-bit g64"}, "4bit"),
        ({"group_size": 64, "bits": 8}, {"MLX 8-bit g64"}, "8bit"),
        ({"group_size": 64, "bits": 3}, {"MLX 3-bit g64"}, "3bit"),
        ({"group_size": 32, "bits": 6}, {"MLX 6-bit g32"}, "6bit"),
        (
            {"group_size": 64, "bits": 4, "quant_predicate": mixed},
            {"MLX 4-bit g64", "MLX 8-bit g32", "BF16"},
            "4bit",
        ),
        ({"group_size": 32, "bits": 4, "mode": "mxfp4"}, {"MLX mxfp4 g32"}, "MXFP4"),
        ({"group_size": 32, "bits": 8, "mode": "mxfp8"}, {"MLX mxfp8 g32"}, "MXFP8"),
    ],
)
def test_bits_per_weight_are_those_of_mlx_lm(
    backend: MlxBackend, tmp_path: Path, arguments: dict[str, Any], types: set[str], label: str
) -> None:
    import mlx_lm.utils as utils

    folder = write_model_folder(tmp_path / "model", "bfloat16", head_dim=64)
    model, config = utils.load_model(folder)
    model, config = utils.quantize_model(model, config, **arguments)
    utils.save_model(folder, model)
    utils.save_config(config, folder / "config.json")

    found = read_model_folder(folder)
    assert found.format == "mlx"
    assert found.notes == ()
    matrices = {tensor.type for tensor in found.tensors if "norm" not in tensor.name}
    assert matrices == types
    parameters = sum(tensor.parameters for tensor in found.tensors)
    size = sum(tensor.bytes or 0 for tensor in found.tensors)
    assert parameters == utils.get_total_parameters(model)
    assert size * 8 / parameters == utils.compute_bits_per_weight(model)

    assert read_summary(folder).label == label
    with backend.load(Artifact("mlx", folder), Settings(128)) as session:
        assert session.info.precision == label
        list(session.generate("Hello", Sampling(max_tokens=1)))
        kinds = {str(layer.keys.dtype) for layer in session.cache.layers}
    assert kinds == {"mlx.core.bfloat16"}
    assert read_header(folder).dtype == "bf16"  # by which the memory of the cache is planned


def test_a_folder_that_is_not_quantised(backend: MlxBackend, folder: Path) -> None:
    assert read_summary(folder).label == "F32"
