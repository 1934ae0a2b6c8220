"""Numbers of an image projector that llama.cpp would compute with: looked at before it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import LocalFile
from gemmahub.testing import projector_writer
from gemmahub_llamacpp.projector_numbers import problem_of

if TYPE_CHECKING:
    from pathlib import Path

SIGLIP: dict[str, Any] = {
    "clip.vision.image_size": 896,
    "clip.vision.patch_size": 14,
    "clip.vision.embedding_length": 1152,
    "clip.vision.feed_forward_length": 4304,
    "clip.vision.block_count": 27,
    "clip.vision.attention.head_count": 16,
    "clip.vision.projection_dim": 2560,
}


def test_published_numbers_are_fine() -> None:
    assert problem_of(SIGLIP) == ""
    assert problem_of({}) == ""
    mobile = {"clip.vision.image_size": 768, "clip.vision.patch_size": 3}
    assert problem_of(SIGLIP | mobile) == ""


def test_the_written_projector_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "mmproj.gguf"
    projector_writer.write_projector(path, 64)
    with LocalFile(path) as source:
        assert problem_of(read_gguf(source).metadata) == ""


@pytest.mark.parametrize("value", [-1, 1 << 31, (1 << 64) - 1, 1.5, True, "896", (896,)])
@pytest.mark.parametrize("key", SIGLIP)
def test_a_number_that_cannot_be_is_named(key: str, value: Any) -> None:
    problem = problem_of(SIGLIP | {key: value})
    assert key in problem
    assert len(problem) < 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 0}, "from 1 to 8,192"),
        ({"patch_size": 0}, "from 1 to 65,535"),
        ({"embedding_length": 0}, "from 1 to"),
        ({"image_size": 8192, "patch_size": 1}, "into patches of 1"),
    ],
)
def test_numbers_that_lead_to_no_image(changes: dict[str, int], words: str) -> None:
    changed = {f"clip.vision.{key}": value for key, value in changes.items()}
    assert words in problem_of(SIGLIP | changed)
