"""One entry for any path."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gemmahub.errors import FormatError, IntegrityError, NotFound
from gemmahub.formats.detect import open_model
from gemmahub.testing.gguf_writer import write_gguf
from gemmahub.testing.safetensors_writer import write_safetensors


def gguf_at(path: Path, architecture: str = "gemma3") -> Path:
    write_gguf(path, {"general.architecture": architecture}, [("t", (32,), "Q8_0")])
    return path


def test_gguf_under_any_name(tmp_path: Path) -> None:
    path = gguf_at(tmp_path / "sha256-0123")
    model = open_model(path)
    assert (model.format, model.files) == ("gguf", (path,))
    assert model.metadata == {"general.architecture": "gemma3"}
    assert model.size_bytes == path.stat().st_size
    assert (model.chat_template, model.notes) == (None, ())


def test_chat_template_of_any_length(tmp_path: Path) -> None:
    for length in (10, 2_000_000):
        path = tmp_path / "m.gguf"
        write_gguf(path, {"tokenizer.chat_template": "x" * length}, [("t", (1,), 0)])
        assert open_model(path).chat_template == "x" * length


def test_any_part_opens_the_whole(tmp_path: Path) -> None:
    for n in range(2):
        metadata = {"split.no": n, "split.count": 2, "split.tensors.count": 2}
        write_gguf(tmp_path / f"m-{n + 1:05}-of-00002.gguf", metadata, [(f"t{n}", (1,), 0)])
    for path in (tmp_path / "m-00002-of-00002.gguf", tmp_path):
        model = open_model(path)
        assert len(model.files) == len(model.tensors) == 2


def test_folder_with_one_gguf_and_its_projector(tmp_path: Path) -> None:
    path = gguf_at(tmp_path / "gemma.gguf")
    gguf_at(tmp_path / "mmproj-f16.gguf", "gemma3")
    gguf_at(tmp_path / "vision.gguf", "clip")
    (tmp_path / "config.json").write_text("{}")
    assert open_model(tmp_path).files == (path,)


def test_folder_with_several_models_lists_them(tmp_path: Path) -> None:
    for number in range(10):
        gguf_at(tmp_path / f"m{number}.gguf")
    with pytest.raises(NotFound, match="has 10 models") as caught:
        open_model(tmp_path)
    assert "m0.gguf, m1.gguf" in caught.value.hint
    assert "and 2 more" in caught.value.hint


def test_folder_with_a_projector_only(tmp_path: Path) -> None:
    gguf_at(tmp_path / "mmproj-x.gguf", "clip")
    with pytest.raises(NotFound, match="only a projector") as caught:
        open_model(tmp_path)
    assert "mmproj-x.gguf" in caught.value.hint


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no model in the folder") as caught:
        open_model(tmp_path)
    assert caught.value.hint


def mlx_folder(path: Path) -> Path:
    groups = (4, 2)
    stored: list[tuple[str, str, tuple[int, ...]]] = [
        ("a.weight", "U32", (4, 16)),
        ("a.scales", "BF16", groups),
        ("a.biases", "BF16", groups),
    ]
    write_safetensors(path / "model.safetensors", stored, {"format": "mlx"})
    config = {"model_type": "gemma3", "quantization": {"bits": 4, "group_size": 64}}
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_mlx_folder_and_the_file_in_it(tmp_path: Path) -> None:
    folder = mlx_folder(tmp_path)
    for path in (folder, folder / "model.safetensors"):
        model = open_model(path)
        assert model.format == "mlx"
        assert [(t.type, t.parameters) for t in model.tensors] == [("MLX 4-bit g64", 512)]
        assert model.metadata["model_type"] == "gemma3"


def test_safetensors_file_alone(tmp_path: Path) -> None:
    path = mlx_folder(tmp_path) / "model.safetensors"
    (tmp_path / "config.json").unlink()
    model = open_model(path)
    assert (model.format, len(model.tensors)) == ("mlx", 3)
    assert model.metadata == {"format": "mlx"}
    assert "packing of its weights" in model.notes[0]
    plain = tmp_path / "plain.safetensors"
    write_safetensors(plain, [("a", "F16", (2,))])
    assert (open_model(plain).format, open_model(plain).notes) == ("safetensors", ())


def test_what_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        open_model(tmp_path / "nothing.gguf")
    with pytest.raises(NotFound):
        open_model(Path("a\0b"))
    with pytest.raises(NotFound):
        open_model(Path("x" * 5000))
    path = tmp_path / "page.gguf"
    path.write_text("<!doctype html>")
    with pytest.raises(FormatError, match="a web page"):
        open_model(path)
    path.write_bytes(b"")
    with pytest.raises(IntegrityError, match="is empty"):
        open_model(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="not a regular file"):
        open_model(tmp_path / "pipe")


def test_real_model(real_model: Path) -> None:
    model = open_model(real_model)
    assert (model.format, len(model.tensors)) == ("gguf", 236)
    assert model.size_bytes == 253_113_024
    assert model.chat_template is None
