"""Which projector of a folder a model has: by width, then by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.stores.companions import best_fitting, seam_of
from gemmahub.stores.folder import FolderStore
from gemmahub.stores.scan import projector_beside
from gemmahub.testing.gguf_writer import write_gguf
from gemmahub.testing.projector_writer import write_projector

if TYPE_CHECKING:
    from pathlib import Path


def model(path: Path, width: int, architecture: str = "gemma3", **more: Any) -> Path:
    metadata = {"general.architecture": architecture, f"{architecture}.embedding_length": width}
    write_gguf(path, metadata | more, [("token_embd.weight", (width, 8), "F16")])
    return path


def projector(path: Path, width: int) -> Path:
    write_projector(path, width)
    return path


def chosen(folder: Path) -> dict[str, str | None]:
    """The names of projectors by those of models."""
    found = FolderStore(folder).inventory().artifacts
    return {a.path.name: a.projector.name if a.projector else None for a in found}


def test_each_model_of_a_flat_folder_has_the_projector_of_its_width(tmp_path: Path) -> None:
    for name, width in (("1b", 1152), ("4b", 2560), ("12b", 3840)):
        model(tmp_path / f"gemma-3-{name}-it-Q4_0.gguf", width)
    for name, width in (("4b", 2560), ("12b", 3840)):
        projector(tmp_path / f"mmproj-gemma-3-{name}-it-f16.gguf", width)
    assert chosen(tmp_path) == {
        "gemma-3-1b-it-Q4_0.gguf": None,
        "gemma-3-4b-it-Q4_0.gguf": "mmproj-gemma-3-4b-it-f16.gguf",
        "gemma-3-12b-it-Q4_0.gguf": "mmproj-gemma-3-12b-it-f16.gguf",
    }


def test_the_width_goes_before_the_name(tmp_path: Path) -> None:
    one = model(tmp_path / "gemma-3-4b-it.gguf", 2560)
    named = projector(tmp_path / "mmproj-gemma-3-4b-it-f16.gguf", 3840)
    right = projector(tmp_path / "mmproj-b.gguf", 2560)
    assert best_fitting(one, (named, right)) == right
    assert best_fitting(one, (named,)) is None


def test_of_several_that_fit_the_names_decide_then_the_precision(tmp_path: Path) -> None:
    one = model(tmp_path / "medgemma-4b-it-Q4_0.gguf", 2560)
    other = projector(tmp_path / "mmproj-gemma-3-4b-it-f16.gguf", 2560)
    wide = projector(tmp_path / "mmproj-medgemma-4b-it-f32.gguf", 2560)
    best = projector(tmp_path / "mmproj-medgemma-4b-it-f16.gguf", 2560)
    assert best_fitting(one, (other, wide, best)) == best


def test_a_projector_of_another_family_is_not_taken(tmp_path: Path) -> None:
    own = projector(tmp_path / "mmproj-f16.gguf", 2560)
    assert best_fitting(model(tmp_path / "a.gguf", 2560, "qwen3"), (own,)) is None
    assert best_fitting(model(tmp_path / "b.gguf", 2560, "gemma3"), (own,)) == own


def test_a_width_that_no_key_says_is_that_of_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "mmproj.gguf"
    tensors = [
        ("v.patch_embd.weight", (14, 14, 3, 1152), "F16"),
        ("mm.2.weight", (1152, 2560), "F16"),
    ]
    write_gguf(path, {"general.architecture": "clip", "clip.projector_type": "mlp"}, tensors)
    assert best_fitting(model(tmp_path / "a.gguf", 2560, "llama"), (path,)) == path
    assert best_fitting(model(tmp_path / "b.gguf", 4096, "llama"), (path,)) is None


def test_names_decide_where_the_files_say_no_width(tmp_path: Path) -> None:
    for name in ("gemma-3-4b.gguf", "gemma-3-12b.gguf", "mmproj-gemma-3-4b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF" + b"1" * 99)
    assert chosen(tmp_path) == {
        "gemma-3-4b.gguf": "mmproj-gemma-3-4b.gguf",
        "gemma-3-12b.gguf": None,
    }


def test_a_projector_under_any_name_is_found_beside_a_file_that_is_named(tmp_path: Path) -> None:
    one = model(tmp_path / "gemma-3-4b-it.gguf", 2560)
    eyes = projector(tmp_path / "gemma-3-4b-vision-f16.gguf", 2560)
    assert projector_beside(one) == eyes
    assert seam_of(eyes).kind == "projector"
    assert projector_beside(model(tmp_path / "gemma-3-1b-it.gguf", 1152)) is None


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\3\0\0\0" + b"\xff" * 200, b"no model"])
def test_a_damaged_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(content)
    assert seam_of(path) == seam_of(tmp_path / "none.gguf")
    assert best_fitting(model(tmp_path / "a.gguf", 2560), (path,)) == path


def test_a_big_endian_file_is_read_as_it_is(tmp_path: Path) -> None:
    write_gguf(
        tmp_path / "a.gguf",
        {"general.architecture": "gemma3", "gemma3.embedding_length": 2560},
        [("token_embd.weight", (2560, 8), "F16")],
        big_endian=True,
    )
    assert seam_of(tmp_path / "a.gguf").widths == {2560}
