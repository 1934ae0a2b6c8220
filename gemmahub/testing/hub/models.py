"""Models for the tests of the hub: GGUF files with headers of the true size and no weights."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

from gemmahub.formats.gguf_writer import GgufValue, gguf_header
from gemmahub.testing.hub.content import Served

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GIB = 1 << 30


def gemma(
    *, words: int = 64, layers: int = 2, split: tuple[int, int] | None = None, **metadata: Any
) -> tuple[dict[str, Any], list[tuple[str, tuple[int, ...], str]]]:
    """Metadata and tensors of a Gemma-like model with a vocabulary of ``words`` words."""
    about: dict[str, Any] = {
        "general.architecture": "gemma3",
        "general.name": "Gemma test",
        "general.file_type": 2,
        "gemma3.block_count": layers,
        "gemma3.embedding_length": 2560,
        "gemma3.context_length": 131072,
        "gemma3.attention.layer_norm_rms_epsilon": GgufValue("f32", 1e-6),
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [f"▁word{'x' * (n % 9)}{n}" for n in range(words)],
        "tokenizer.ggml.scores": GgufValue("f32", [-float(n) for n in range(words)]),
        "tokenizer.ggml.token_type": GgufValue("i32", [1] * words),
        "tokenizer.chat_template": "{{ bos_token }}" + "{# template #}" * 100,
    }
    about |= metadata
    tensors: list[tuple[str, tuple[int, ...], str]] = [("token_embd.weight", (2560, words), "Q8_0")]
    for layer in range(layers):
        tensors += [
            (f"blk.{layer}.attn_norm.weight", (2560,), "F32"),
            (f"blk.{layer}.attn_q.weight", (2560, 2048), "Q4_0"),
            (f"blk.{layer}.attn_k.weight", (2560, 1024), "Q4_0"),
            (f"blk.{layer}.attn_v.weight", (2560, 1024), "Q4_0"),
            (f"blk.{layer}.attn_output.weight", (2048, 2560), "Q4_0"),
            (f"blk.{layer}.ffn_gate.weight", (2560, 10240), "Q4_0"),
            (f"blk.{layer}.ffn_up.weight", (2560, 10240), "Q4_0"),
            (f"blk.{layer}.ffn_down.weight", (10240, 2560), "Q4_0"),
        ]
    if split is not None:
        number, count = split
        about |= {"split.no": GgufValue("u16", number), "split.count": GgufValue("u16", count)}
        about["split.tensors.count"] = GgufValue("i32", len(tensors))
        per_part = -(-len(tensors) // count)
        tensors = tensors[number * per_part : (number + 1) * per_part]
        if number:
            about = {k: v for k, v in about.items() if k.startswith(("general.arch", "split."))}
    return about, tensors


def write_model(path: Path, **options: Any) -> tuple[Served, int]:
    """A sparse GGUF file at ``path``, as the hub serves it, and the length of its header.

    Its sha256 is made up from its name: the weights are zeros, and hashing them tells nothing.
    """
    header, full = gguf_header(*gemma(**options))
    with path.open("wb") as file:
        file.write(header)
        file.truncate(full)
    made_up = hashlib.sha256(f"{path.name}{full}".encode()).hexdigest()
    return Served.of(path.name, path, made_up), len(header)


def small_model(**options: Any) -> bytes:
    """A whole GGUF model of some MB, weights and all."""
    about, _ = gemma(layers=0, **options)
    tensors = [("token_embd.weight", (256, 64), "Q8_0"), ("output_norm.weight", (256,), "F32")]
    header, full = gguf_header(about, tensors)
    weights = bytes(n * 37 % 251 for n in range(full - len(header)))
    return header + weights


def projector(words: str = "mmproj") -> bytes:
    """A vision projector for the models here."""
    about = {"general.architecture": "clip", "clip.vision.projection_dim": 2560}
    header, full = gguf_header(about | {"general.name": words}, [("mm.0.weight", (64, 64), "F16")])
    return header + bytes(full - len(header))


def mlx_folder(folder: Path, shards: int = 2) -> dict[str, bytes | Path]:
    """The files of a 4-bit MLX model in ``shards`` shards, the weights sparse."""
    config = {
        "model_type": "gemma3",
        "hidden_size": 2560,
        "num_hidden_layers": shards,
        "quantization": {"group_size": 64, "bits": 4},
    }
    files: dict[str, bytes | Path] = {
        "config.json": json.dumps(config).encode(),
        "chat_template.jinja": b"{{ messages }}",
        "tokenizer.json": b"{}" * 1000,
        "README.md": b"# A model\n",
    }
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
        offset = 0
        for module in range(100):
            stem = f"language_model.model.layers.{shard}.part{module}.mlp.up_proj"
            for kind, dtype, shape, size in (
                ("weight", "U32", [10240, 320], 10240 * 320 * 4),
                ("scales", "BF16", [10240, 40], 10240 * 40 * 2),
                ("biases", "BF16", [10240, 40], 10240 * 40 * 2),
            ):
                end = offset + size
                header[f"{stem}.{kind}"] = {
                    "dtype": dtype,
                    "shape": shape,
                    "data_offsets": [offset, end],
                }
                weight_map[f"{stem}.{kind}"] = name
                offset = end
        raw = json.dumps(header).encode()
        with (folder / name).open("wb") as file:
            file.write(struct.pack("<Q", len(raw)) + raw)
            file.truncate(8 + len(raw) + offset)
        files[name] = folder / name
    index = {"metadata": {}, "weight_map": weight_map}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    return files


def served(files: Mapping[str, bytes | Path]) -> dict[str, bytes | Path | Served]:
    """The files with made-up hashes for those on disk, which are sparse and large."""
    return {
        path: data
        if isinstance(data, bytes)
        else Served.of(path, data, hashlib.sha256(path.encode()).hexdigest())
        for path, data in files.items()
    }
