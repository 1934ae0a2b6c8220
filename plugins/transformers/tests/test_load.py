"""Loading: what is refused, what a damaged folder says, and that nothing leaves this machine."""

from __future__ import annotations

import json
import shutil
import socket
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.errors import LoadFailed
from gemmahub.testing.folder_writer import write_model_folder
from gemmahub.testing.safetensors_writer import write_safetensors
from gemmahub_transformers import engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub_transformers.backend import TransformersBackend


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def edit(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def refused(backend: TransformersBackend, folder: Path, **settings: Any) -> LoadFailed:
    with pytest.raises(LoadFailed) as caught:
        backend.load(Artifact("safetensors", folder), Settings(128, **settings)).close()
    assert caught.value.hint
    return caught.value


def test_nothing_is_fetched(
    backend: TransformersBackend, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    backend.load(artifact, Settings(128)).close()


def test_what_is_said_of_the_load(backend: TransformersBackend, artifact: Artifact) -> None:
    seen: list[float] = []
    with backend.load(artifact, Settings(), seen.append) as session:
        info = session.info
    assert seen[-1] == 1.0
    assert len(seen) > 10
    assert (info.context, info.context_trained) == (4096, 4096)
    assert info.precision == "F32"
    assert info.settings.cache_type_k == info.settings.cache_type_v == "f32"
    assert engine.version() == engine.CHECKED_VERSION, "check the figures with this version"


def test_a_file_of_the_folder_names_it(backend: TransformersBackend, folder: Path) -> None:
    backend.load(Artifact("safetensors", folder / "model.safetensors"), Settings(128)).close()


@pytest.mark.parametrize(("dtype", "label"), [("bfloat16", "BF16"), ("auto", "F32")])
def test_the_type_to_compute_in_is_an_option(
    backend: TransformersBackend, artifact: Artifact, dtype: str, label: str
) -> None:
    settings = Settings(128, options={"dtype": dtype})
    with backend.load(artifact, settings) as session:
        assert session.info.precision == label
        held = sum(p.nbytes for p in session._forward._model.parameters())
    assert held == backend.dry_load(artifact, settings).weights_bytes


def test_threads_are_obeyed(backend: TransformersBackend, artifact: Artifact) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        backend.load(artifact, Settings(128, threads=1)).close()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parallel": 2}, "one answer at a time"),
        ({"context": 0}, "context"),
        ({"ubatch": 0}, "ubatch"),
        ({"threads": 0}, "threads"),
        ({"context": 2**40}, "context"),
        ({"cache_type_k": "q8_0"}, "q8_0"),
        ({"cache_type_v": "bf16"}, "bf16"),
        ({"main_device": "CUDA7"}, "CUDA7"),
        ({"options": {"dtype": "int3"}}, "dtype"),
        ({"options": {"nonsense": 1}}, "nonsense"),
    ],
)
def test_settings_that_pytorch_cannot_follow(
    backend: TransformersBackend, artifact: Artifact, changes: dict[str, Any], said: str
) -> None:
    """A load and a dry load refuse the same."""
    settings = Settings(**{"context": 128} | changes)
    attempts: list[Callable[[Artifact, Settings], object]] = [backend.load, backend.dry_load]
    for attempt in attempts:
        with pytest.raises(LoadFailed, match=said) as caught:
            attempt(artifact, settings)
        assert caught.value.hint


def test_cuda_that_is_requested_and_missing(backend: TransformersBackend, folder: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    for changes in ({"gpu_layers": 1}, {"gpu_layers": -1}, {"main_device": "CUDA0"}):
        error = refused(backend, folder, **changes)
        assert "computes on CPU here" in error.message
        built = "no usable driver" if torch.version.cuda else "built without CUDA"
        assert built in error.message
        assert "nvidia-smi" in error.hint
        assert "--gpu-layers 0" in error.hint


# --- damaged and strange folders ----------------------------------------------------------------


def test_a_shortened_file(backend: TransformersBackend, copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "model.safetensors" in refused(backend, copy).message


def test_no_config(backend: TransformersBackend, copy: Path) -> None:
    (copy / "config.json").unlink()
    assert "config.json" in refused(backend, copy).message


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}, "lacks 2 of 2 files"),
        ({"weight_map": {"a": "../../etc/passwd"}}, "not a file of its folder"),
        ({"weight_map": []}, "weight_map"),
        ("{", "index"),
    ],
)
def test_a_checkpoint_that_is_not_whole(
    backend: TransformersBackend, copy: Path, index: object, said: str
) -> None:
    """An index that is damaged, or that names files that are not here."""
    (copy / "model.safetensors").rename(copy / "shard.safetensors")
    text = index if isinstance(index, str) else json.dumps(index)
    (copy / "model.safetensors.index.json").write_text(text, "utf-8")
    assert said in refused(backend, copy).message


def test_tensors_that_are_missing_are_not_made_up(backend: TransformersBackend, copy: Path) -> None:
    """Transformers fills them with random numbers and warns in a log."""
    edit(copy, num_hidden_layers=4)
    error = refused(backend, copy)
    assert "lacks 26 tensors" in error.message
    assert "model.layers.2" in error.message


def test_tensors_of_another_shape(backend: TransformersBackend, copy: Path) -> None:
    edit(copy, intermediate_size=64)
    assert "shapes" in refused(backend, copy).message


def test_a_model_type_that_transformers_does_not_know(
    backend: TransformersBackend, copy: Path
) -> None:
    edit(copy, model_type="gemma99", architectures=["Gemma99ForCausalLM"])
    error = refused(backend, copy)
    assert f"transformers {engine.version()} does not know models of the type gemma99" == (
        error.message
    )
    assert "--upgrade" in error.hint


def test_code_of_a_folder_is_never_run(
    backend: TransformersBackend, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where it is the only way, nor where Transformers knows the type itself."""
    (copy / "evil.py").write_text("raise SystemExit('it ran')", "utf-8")
    remote = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    edit(copy, auto_map=remote)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    backend.load(Artifact("safetensors", copy), Settings(128)).close()
    edit(copy, model_type="gemma99")
    assert "its own code, which gemmahub never runs" in refused(backend, copy).message


def test_pickled_weights_are_never_read(backend: TransformersBackend, copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert "pickles (.bin), which can run code" in refused(backend, copy).message


def test_weights_packed_by_mlx(backend: TransformersBackend, copy: Path) -> None:
    from gemmahub.formats.detect import open_model

    edit(copy, quantization={"group_size": 32, "bits": 4})
    answer = backend.loadable(open_model(copy))
    assert not answer.ok
    assert "packed by MLX" in answer.reason
    assert "packed by MLX" in refused(backend, copy).message


# --- checkpoints that also see ------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
def test_only_the_text_of_a_model_that_sees_is_loaded(
    backend: TransformersBackend, tmp_path: Path, prefix: str
) -> None:
    """By the names that Transformers wrote before and since 4.52; the answer is the text's."""
    plain = write_model_folder(tmp_path / "plain", tie_word_embeddings=True)
    seeing = write_model_folder(tmp_path / "seeing", tie_word_embeddings=True)
    config = json.loads((plain / "config.json").read_text("utf-8"))
    vision = {"model_type": "siglip_vision_model", "hidden_size": 32, "num_hidden_layers": 1}
    edit(seeing, model_type="gemma3", text_config=config, vision_config=vision)
    rename_tensors(plain / "model.safetensors", "model.")
    rename_tensors(seeing / "model.safetensors", prefix)
    answers = []
    for place in (plain, seeing):
        artifact = Artifact("safetensors", place)
        planned = backend.dry_load(artifact, Settings(128)).weights_bytes
        with backend.load(artifact, Settings(128)) as session:
            forward = session._forward
            assert sum(p.nbytes for p in forward._model.parameters()) == planned
            answers.append(forward.advance([2, 300, 301, 302]).tolist())
    assert answers[0] == pytest.approx(answers[1], abs=1e-5)


def rename_tensors(path: Path, prefix: str) -> None:
    """The same weights under other names, without the output, and with a tower that sees."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    del header["lm_head.weight"], header["__metadata__"]
    renamed = {name.replace("model.", prefix, 1): said for name, said in header.items()}
    end = max(said["data_offsets"][1] for said in renamed.values())
    if prefix != "model.":
        tower = "vision_tower.w" if prefix.startswith("language") else "model.vision_tower.w"
        renamed[tower] = {"dtype": "F32", "shape": [4], "data_offsets": [end, end + 16]}
    text = json.dumps(renamed).encode()
    text += b" " * (-len(text) % 8)
    body = raw[8 + size : 8 + size + end] + bytes(0 if prefix == "model." else 16)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def test_a_header_without_weights_is_enough_for_a_plan(tmp_path: Path) -> None:
    from gemmahub_transformers.backend import TransformersBackend

    config = {"model_type": "gemma3_text", "vocab_size": 512, "hidden_size": 64,
              "num_hidden_layers": 2, "intermediate_size": 128, "num_attention_heads": 2,
              "num_key_value_heads": 1, "head_dim": 32, "sliding_window": 64}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    tensors = [("model.embed_tokens.weight", "BF16", (512, 64))]
    write_safetensors(tmp_path / "model.safetensors", tensors)
    found = TransformersBackend().dry_load(Artifact("safetensors", tmp_path), Settings(1024))
    assert found.weights_bytes == 512 * 64 * 2
    assert found.basis == "formula"
