"""What is mixed inside a model is said, whatever its name promises."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.errors import NotInstalled
from gemmahub.registry.artifacts import Inspector
from gemmahub.registry.registry import Registry
from gemmahub.testing.safetensors_writer import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 512


def weight(module: str, bits: int, rows: int) -> list[tuple[str, str, tuple[int, ...]]]:
    """A weight as MLX stores it in groups of 64."""
    name, groups = f"model.layers.0.{module}", (rows, WIDTH // 64)
    return [
        (f"{name}.weight", "U32", (rows, WIDTH * bits // 32)),
        (f"{name}.scales", "BF16", groups),
        (f"{name}.biases", "BF16", groups),
    ]


def test_an_mlx_model_of_4_bits_says_that_its_mlp_is_in_8(tmp_path: Path) -> None:
    folder = tmp_path / "gemma-4-12B-it-qat-4bit"
    folder.mkdir()
    mlp = [f"mlp.{part}_proj" for part in ("gate", "up", "down")]
    attention = [f"self_attn.{part}_proj" for part in "qkvo"]
    quantization: dict[str, Any] = {"bits": 4, "group_size": 64}
    quantization |= {f"model.layers.0.{name}": {"bits": 8, "group_size": 64} for name in mlp}
    config = {"model_type": "gemma4_unified", "quantization": quantization}
    (folder / "config.json").write_text(json.dumps(config))
    stored = [row for name in mlp for row in weight(name, 8, 4 * WIDTH)]
    stored += [row for name in attention for row in weight(name, 4, WIDTH)]
    write_safetensors(folder / "model.safetensors", stored, {"format": "mlx"})
    registry = Registry(load_catalog(), tuple, Inspector(None))
    found = registry.resolve(str(folder)).precision
    assert found.bits_per_weight == 7.5  # (12 * 8.5 + 4 * 4.5) / 16
    assert {(entry.role, entry.type) for entry in found.mix} == {
        ("feed-forward", "MLX 8-bit g64"),
        ("attention", "MLX 4-bit g64"),
    }
    assert found.summary == "8bit · int8 QAT (stored in another type) · 7.50 bits/weight"
    assert found.mismatch == "named 4bit, but its metadata says 8bit"


def test_a_tag_with_a_draft_head_says_so() -> None:
    registry = Registry(load_catalog(), tuple, Inspector(None))
    with pytest.raises(NotInstalled, match=r"is Q4_K_M \(post-training\) with a draft head") as why:
        registry.resolve("gemma4:26b")
    assert "19GB in Ollama's registry" in why.value.message


def test_the_tag_that_moved_is_known_by_its_new_digest() -> None:
    tag = load_catalog().published("gemma4:26b")
    assert tag is not None
    assert (tag.digest, tag.digest_verified) == ("08ae7ec1744b", True)
    assert "5571076f3d70" in (tag.note or "")
