"""Ways to write how MLX packs weights."""

from __future__ import annotations

import pytest

from gemmahub.formats.mlx_packing import Packing
from gemmahub.precision.mlx_labels import MADE, label_of_packing, packing_of


@pytest.mark.parametrize(
    ("text", "packing", "label"),
    [
        ("4bit", Packing(4, 64, "affine"), "4bit"),
        (" 8-BIT ", Packing(8, 64, "affine"), "8bit"),
        ("6bit-g32", Packing(6, 32, "affine"), "6bit-g32"),
        ("MLX 4-bit g32", Packing(4, 32, "affine"), "4bit-g32"),
        ("4bit_g128", Packing(4, 128, "affine"), "4bit-g128"),
        ("mxfp4", Packing(4, 32, "mxfp4"), "MXFP4"),
        ("MLX mxfp8 g32", Packing(8, 32, "mxfp8"), "MXFP8"),
        ("NVFP4", Packing(4, 16, "nvfp4"), "NVFP4"),
    ],
)
def test_what_is_meant(text: str, packing: Packing, label: str) -> None:
    assert packing_of(text) == packing
    assert label_of_packing(packing) == label


@pytest.mark.parametrize("text", ["7bit", "4bit-g48", "Q4_0", "", "bit", "mxfp4-g64", "4", "fp4"])
def test_what_is_none(text: str) -> None:
    assert packing_of(text) is None


@pytest.mark.parametrize("label", MADE)
def test_a_type_is_named_as_the_report_names_it(label: str) -> None:
    """The name of the tensors' type is read as the same packing."""
    packing = packing_of(label)
    assert packing is not None
    assert packing_of(packing.name) == packing
    assert label_of_packing(packing) == label
