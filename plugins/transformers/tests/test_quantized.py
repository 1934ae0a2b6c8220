"""Weights that others have packed: what is said of them, and those that load on a CPU."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.formats.reader import ModelFile
from gemmahub.formats.tensor import Tensor
from gemmahub.testing.folder_writer import write_model_folder, write_tokenizer
from gemmahub_transformers import packings

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_transformers.backend import TransformersBackend

PROMPT = [2, *range(270, 300)]
WIDE: dict[str, Any] = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 64}


def header(method: str, kind: str = "BF16", **more: Any) -> ModelFile:
    config = {"quantization_config": {"quant_method": method, **more}} if method else {}
    return ModelFile("safetensors", (), 1, (Tensor("a.weight", kind, (1,), 1, 1),), config)


@pytest.mark.parametrize(
    ("model", "needs"),
    [
        (header("bitsandbytes", "bnb NF4"), "bitsandbytes"),
        (header("compressed-tensors", "INT4 g128"), "compressed-tensors"),
        (header("gptq", "GPTQ 4-bit g128"), "gptqmodel"),
        (header("awq", "AWQ 4-bit g128"), "gptqmodel"),
        (header("torchao", "torchao INT8"), "torchao"),
        (header("", "GPTQ 4-bit g128"), "gptqmodel"),
    ],
)
def test_what_a_packing_needs(
    monkeypatch: pytest.MonkeyPatch, model: ModelFile, needs: str
) -> None:
    monkeypatch.setattr(packings, "version", lambda name: "")
    answer = packings.transformers_loads(model)
    assert not answer.ok
    assert f"with {needs}, and that is missing" in answer.reason
    assert (
        f"install {needs}" in answer.hint or f"[{needs}]" in answer.hint or "--extra" in answer.hint
    )
    monkeypatch.setattr(packings, "version", lambda name: "1" if name == needs else "")
    assert packings.transformers_loads(model).ok


@pytest.mark.parametrize(
    "model", [header("exl3", "EXL3 4-bit"), header("nonsense"), header("", "packed by something")]
)
def test_what_transformers_does_not_read(model: ModelFile) -> None:
    answer = packings.transformers_loads(model)
    assert not answer.ok
    assert answer.hint


def packed(folder: Path, config: Any) -> Path:
    """A random model, packed and saved by Transformers itself."""
    from transformers import AutoModelForCausalLM

    plain = write_model_folder(folder / "plain", "bfloat16", **WIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Any = AutoModelForCausalLM.from_pretrained(
            plain, quantization_config=config, dtype="auto", device_map={"": "cpu"}
        )
        made.save_pretrained(folder / "packed")
    write_tokenizer(folder / "packed")
    return folder / "packed"


def check(backend: TransformersBackend, folder: Path) -> tuple[str, float]:
    """Loads the packed model, holds it against the plain one; what it is and how far it is off."""
    logits = []
    for place in (folder.parent / "plain", folder):
        artifact = Artifact("safetensors", place)
        planned = backend.dry_load(artifact, Settings(128)).weights_bytes
        with backend.load(artifact, Settings(128)) as session:
            logits.append(session._forward.advance(PROMPT).float())
            label = session.info.precision
        assert planned > 0
    assert planned < backend.dry_load(
        Artifact("safetensors", folder.parent / "plain"), Settings(128)
    ).weights_bytes  # fmt: skip
    assert label == ""  # the engine names no packed type
    off = float((logits[0] - logits[1]).abs().mean() / logits[0].abs().mean())
    assert off > 0
    return str(json.loads((folder / "config.json").read_text("utf-8"))["quantization_config"]), off


@pytest.mark.filterwarnings("ignore")
def test_torchao(backend: TransformersBackend, tmp_path: Path) -> None:
    pytest.importorskip("torchao", reason="torchao is missing")
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    said, off = check(backend, packed(tmp_path, TorchAoConfig(Int8WeightOnlyConfig())))
    assert "torchao" in said
    assert off < 0.05


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("bits", "most"), [(8, 0.1), (4, 0.5)])
def test_bitsandbytes(backend: TransformersBackend, tmp_path: Path, bits: int, most: float) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is missing")
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_8bit=True) if bits == 8 else BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4"
    )  # fmt: skip
    said, off = check(backend, packed(tmp_path, config))
    assert "bitsandbytes" in said
    assert off < most


@pytest.mark.filterwarnings("ignore")
def test_compressed_tensors(backend: TransformersBackend, tmp_path: Path) -> None:
    """Eight bits for each channel, packed as that library itself does."""
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is missing")
    import torch
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
    from transformers import AutoModelForCausalLM

    plain = write_model_folder(tmp_path / "plain", "bfloat16", **WIDE)
    model: Any = AutoModelForCausalLM.from_pretrained(plain, dtype="auto")
    scheme = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    config = QuantizationConfig(
        config_groups={"group_0": {"targets": ["Linear"], "weights": scheme}}, ignore=["lm_head"],
        format="pack-quantized",
    )  # fmt: skip
    apply_quantization_config(model, config)
    for module in model.modules():
        if hasattr(module, "weight_scale"):
            module.weight_scale.data = module.weight.abs().amax(1, keepdim=True) / 127
            if hasattr(module, "weight_zero_point"):
                module.weight_zero_point.data = torch.zeros_like(module.weight_zero_point)
    compressor = ModelCompressor.from_pretrained_model(model)
    folder = tmp_path / "packed"
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)
    write_tokenizer(folder)
    said, off = check(backend, folder)
    assert "compressed-tensors" in said
    assert off < 0.05
