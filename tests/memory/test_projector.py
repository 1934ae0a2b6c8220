"""What projectors take besides their tensors: catalogue and local files against the table."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.formats.tensor import Tensor
from gemmahub.memory.projector import image_buffer_bytes

TABLE = Path(__file__).parents[2] / "benchmarks" / "data" / "projectors-llamacpp-0.3.36.json"


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    data = json.loads(TABLE.read_text("utf-8"))
    for found in data["projectors"].values():
        found["rows"] = [dict(zip(data["columns"], row, strict=True)) for row in found["rows"]]
    return dict(data["projectors"])


def besides(projector: dict[str, Any]) -> int:
    """All that is there besides the file's tensors for the largest image with flash attention."""
    rows = [row for row in projector["rows"] if row["flash_attention"]]
    largest = max(rows, key=lambda row: row["image_tokens"])
    found: int = projector["copied_bytes"] + largest["vision_bytes"] + largest["audio_bytes"]
    return found


def test_files_without_weights_have_the_published_sizes(measured: dict[str, Any]) -> None:
    published = [found for found in measured.values() if found["published_bytes"]]
    assert len(published) == 13
    for found in published:
        # What is left are names and descriptions in the metadata.
        assert 0 <= found["published_bytes"] - found["file_bytes"] < 1024


def test_llama_cpp_reports_what_was_measured(measured: dict[str, Any]) -> None:
    for found in measured.values():
        at_start = [row for row in found["rows"] if row["image_tokens"] == 256]
        for reported, row in zip(found["reported_bytes"], at_start, strict=True):
            buffers = row["vision_bytes"] + row["audio_bytes"]
            assert reported == found["tensor_bytes"] + buffers


def test_every_projector_of_the_catalogue_has_the_measured_figure(measured: dict[str, Any]) -> None:
    projectors = {
        (variant.model, variant.projector)
        for variant in load_catalog().variants
        if variant.projector is not None
    }
    assert len({projector for _, projector in projectors}) == 28
    by_model: dict[str, set[int]] = {}
    others = []
    for model, projector in projectors:
        # Other conversions of the same tensors differ by a line of metadata.
        alike = {
            besides(found)
            for found in measured.values()
            if abs(projector.bytes - (found["published_bytes"] or 0)) < 512
        }
        if alike:
            assert alike == {projector.image_buffer_bytes}, projector.file
            by_model.setdefault(model, set()).update(alike)
        else:
            others.append((model, projector))
    # Not measured themselves: those of 8 bits are as that of 16 bits of their model (measured so of
    # E2B and E4B), the F16 one of E2B as that of E4B, whose towers have the same shapes.
    assert len({projector for _, projector in others}) == 3
    for model, projector in others:
        eight = projector.file.endswith("Q8_0.gguf")
        assert projector.image_buffer_bytes in by_model[model if eight else "gemma-4-e4b-it"]


def test_draft_models_have_none() -> None:
    drafters = [v.drafter for v in load_catalog().variants if v.drafter is not None]
    assert drafters
    assert {drafter.image_buffer_bytes for drafter in drafters} == {None}


def metadata(vision: str, width: int, image: int, audio: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "clip.has_vision_encoder": True,
        "clip.has_audio_encoder": audio is not None,
        "clip.vision.embedding_length": width,
        "clip.vision.image_size": image,
    }
    if audio is None:
        return found | {"clip.projector_type": vision}
    return found | {"clip.vision.projector_type": vision, "clip.audio.projector_type": audio}


def tensor(name: str, *shape: int) -> Tensor:
    return Tensor(name, "F32", shape, prod(shape), 4 * prod(shape))


@pytest.mark.parametrize(
    ("name", "keys", "patch"),
    [
        ("gemma3-27b-f16", metadata("gemma3", 1152, 896), (14, 14, 3, 1152)),
        ("gemma3n-f16", metadata("gemma3nv", 2048, 768, "gemma3na"), (3, 3, 3, 64)),
        ("gemma4-e4b-bf16", metadata("gemma4v", 768, 224, "gemma4a"), (16, 16, 3, 768)),
        ("gemma4-31b-bf16", metadata("gemma4v", 1152, 224), (16, 16, 3, 1152)),
        ("gemma4-12b-bf16", metadata("gemma4uv", 3840, 224, "gemma4ua"), (6912, 3840)),
    ],
)
def test_local_files_get_the_same_figure(
    name: str, keys: dict[str, Any], patch: tuple[int, ...], measured: dict[str, Any]
) -> None:
    tensors = [tensor("v.patch_embd.weight", *patch), tensor("mm.input_projection.weight", 8, 8)]
    if name.startswith("gemma4-12b"):
        tensors.append(tensor("v.patch_embd.bias", 3840))
    assert image_buffer_bytes(keys, tensors) == besides(measured[name])


@pytest.mark.parametrize(
    "keys",
    [
        {},
        metadata("gemma3", 1152, 448),
        metadata("gemma4v", 1152, 224, "gemma4a"),
        metadata("qwen2vl_merger", 1280, 560),
    ],
)
def test_what_was_not_measured_is_not_known(keys: dict[str, Any]) -> None:
    assert image_buffer_bytes(keys, []) is None
