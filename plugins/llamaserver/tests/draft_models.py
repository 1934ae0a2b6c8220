"""Writes a tiny Gemma 4 and the head that drafts for it, with random weights."""

from __future__ import annotations

from array import array
from math import prod
from random import Random
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.gguf_writer import GgufValue, gguf_header

if TYPE_CHECKING:
    from pathlib import Path

WIDTH: Final = 128
HEAD_WIDTH: Final = 64  # of the head that drafts: another one than the model's, as in real ones
_HEADS, _HEAD, _WIDE = 2, 64, 128
_WINDOWED: Final = (True, False)  # the last two layers of the model, whose caches the head reads


def write_gemma4(path: Path, words: int = 512) -> Path:
    """A Gemma 4 of two layers and so many words."""
    shapes = {"token_embd.weight": (WIDTH, words), "output_norm.weight": (WIDTH,)}
    for number in range(len(_WINDOWED)):
        own = {"attn_k.weight": (WIDTH, _HEAD), "attn_v.weight": (WIDTH, _HEAD)}
        own["attn_k_norm.weight"] = (_HEAD,)
        layer = _layer(WIDTH) | own
        shapes |= {f"blk.{number}.{name}": shape for name, shape in layer.items()}
    return _write(path, "gemma4", WIDTH, shapes, words, {"attention.shared_kv_layers": 0})


def write_head(path: Path, words: int = 512, for_width: int = WIDTH) -> Path:
    """A head that drafts for a Gemma 4 of that width."""
    shapes = {
        "token_embd.weight": (HEAD_WIDTH, words),
        "output_norm.weight": (HEAD_WIDTH,),
        "nextn.post_projection.weight": (HEAD_WIDTH, for_width),
        "nextn.pre_projection.weight": (2 * for_width, HEAD_WIDTH),
    }
    for number in range(len(_WINDOWED)):
        layer = _layer(HEAD_WIDTH) | {"layer_output_scale.weight": (1,)}
        shapes |= {f"blk.{number}.{name}": shape for name, shape in layer.items()}
    more = {"embedding_length_out": for_width, "nextn_predict_layers": len(_WINDOWED)}
    return _write(path, "gemma4-assistant", HEAD_WIDTH, shapes, words, more)


def _layer(width: int) -> dict[str, tuple[int, ...]]:
    return {
        "attn_norm.weight": (width,),
        "attn_q.weight": (width, _HEADS * _HEAD),
        "attn_output.weight": (_HEADS * _HEAD, width),
        "attn_q_norm.weight": (_HEAD,),
        "post_attention_norm.weight": (width,),
        "ffn_norm.weight": (width,),
        "ffn_gate.weight": (width, _WIDE),
        "ffn_up.weight": (width, _WIDE),
        "ffn_down.weight": (_WIDE, width),
        "post_ffw_norm.weight": (width,),
    }


def _write(
    path: Path, name: str, width: int, shapes: dict[str, Any], words: int, more: dict[str, Any]
) -> Path:
    shapes["rope_freqs.weight"] = (_HEAD // 2,)
    sizes = {
        "context_length": 4096,
        "embedding_length": width,
        "embedding_length_per_layer_input": 0,
        "block_count": len(_WINDOWED),
        "feed_forward_length": _WIDE,
        "attention.head_count": _HEADS,
        "attention.head_count_kv": 1,
        "attention.key_length": _HEAD,
        "attention.value_length": _HEAD,
        "attention.key_length_swa": _HEAD,
        "attention.value_length_swa": _HEAD,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.sliding_window": 64,
        "attention.sliding_window_pattern": list(_WINDOWED),
        "rope.dimension_count": _HEAD,
        "rope.dimension_count_swa": _HEAD,
        "rope.freq_base": 1e6,
        "rope.freq_base_swa": 1e4,
        **more,
    }
    letters = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters += [f"w{number}" for number in range(words - len(letters))]
    metadata = {
        "general.architecture": name,
        **{f"{name}.{key}": value for key, value in sizes.items()},
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": letters,
        "tokenizer.ggml.scores": GgufValue("f32", [-float(n) for n in range(words)]),
        "tokenizer.ggml.token_type": [3, 3, 3, 2] + [6] * 256 + [1] * (words - 260),
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.add_bos_token": True,
    }
    tensors = [(tensor, shape, "F32") for tensor, shape in shapes.items()]
    header, _ = gguf_header(metadata, tensors)
    values, draw = array("f"), Random(7)
    for _, shape, _ in tensors:
        middle = 1.0 if len(shape) == 1 else 0.0
        values.extend(draw.gauss(middle, 0.2) for _ in range(prod(shape)))
        values.extend([0.0] * (-prod(shape) % 8))
    path.write_bytes(header + values.tobytes())
    return path


def write_with_head(folder: Path, head: str) -> Path:
    """A Gemma 4 in a new folder, with its draft head of that name beside it. Returns the model."""
    folder.mkdir()
    write_head(folder / head)
    return write_gemma4(folder / "model.gguf")
