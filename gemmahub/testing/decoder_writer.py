"""Writes headers of decoders of other families than Gemma, and of Gemma 1 and 2, without weights.

llama.cpp loads such a file with ``no_alloc`` and says what the model would take. Names of tensors
and keys are those that ``src/models/*.cpp`` of ggml-org/llama.cpp@0c1e57098 asks for; the shapes
are those of published models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.gguf_writer import write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NamedTensor = tuple[str, tuple[int, ...], str]


@dataclass(frozen=True, slots=True)
class Decoder:
    """The shape of a model; ``more`` are further keys of its architecture."""

    architecture: str
    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head: int
    words: int
    context: int
    tied: bool = True
    experts: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)


_WINDOW_512: Final = {"attention.sliding_window": 512, "attention.causal": False, "pooling_type": 1}
DECODERS: Final[dict[str, Decoder]] = {
    "llama-3.1-8b": Decoder(
        "llama", 32, 4096, 14336, 32, 8, 128, 128256, 131072, tied=False
    ),
    "llama-3.2-1b": Decoder("llama", 16, 2048, 8192, 32, 8, 64, 128256, 131072),
    "mistral-7b": Decoder("llama", 32, 4096, 14336, 32, 8, 128, 32768, 32768, tied=False),
    "ministral-3-8b": Decoder("mistral3", 34, 4096, 14336, 32, 8, 128, 131072, 262144, tied=False),
    "qwen2.5-0.5b": Decoder("qwen2", 24, 896, 4864, 14, 2, 64, 151936, 32768),
    "qwen2.5-7b": Decoder("qwen2", 28, 3584, 18944, 28, 4, 128, 152064, 131072, tied=False),
    "qwen3-0.6b": Decoder("qwen3", 28, 1024, 3072, 16, 8, 128, 151936, 40960),
    "qwen3-8b": Decoder("qwen3", 36, 4096, 12288, 32, 8, 128, 151936, 40960, tied=False),
    "phi-3-mini": Decoder(
        "phi3", 32, 3072, 8192, 32, 32, 96, 32064, 4096, tied=False,
        more={"attention.sliding_window": 2047, "rope.dimension_count": 96},
    ),
    "phi-4": Decoder(
        "phi3", 40, 5120, 17920, 40, 10, 128, 100352, 16384, tied=False,
        more={"attention.sliding_window": 0, "rope.dimension_count": 128},
    ),
    "gemma-2b": Decoder("gemma", 18, 2048, 16384, 8, 1, 256, 256000, 8192),
    "gemma-7b": Decoder("gemma", 28, 3072, 24576, 16, 16, 256, 256000, 8192),
    "gemma-2-2b": Decoder("gemma2", 26, 2304, 9216, 8, 4, 256, 256000, 8192),
    "gemma-2-9b": Decoder("gemma2", 42, 3584, 14336, 16, 8, 256, 256000, 8192),
    "gemma-2-27b": Decoder("gemma2", 46, 4608, 36864, 32, 16, 128, 256000, 8192),
    "embeddinggemma-300m": Decoder(
        "gemma-embedding", 24, 768, 1152, 3, 1, 256, 262144, 2048, more=_WINDOW_512
    ),
}  # fmt: skip
"""Published models, by name."""


def write_decoder(path: Path, decoder: Decoder, **keys: Any) -> int:
    """Writes a sparse file of Q4_0 matrices and an F16 embedding; its full length in bytes.

    ``keys`` are further keys, ``__`` standing for the dot.
    """
    more = {key.replace("__", "."): value for key, value in keys.items()}
    return write_gguf(path, decoder_metadata(decoder) | more, decoder_tensors(decoder))


def decoder_metadata(decoder: Decoder) -> dict[str, Any]:
    """What llama.cpp reads of a header, without a vocabulary."""
    d = decoder
    found: dict[str, Any] = {
        "context_length": d.context,
        "embedding_length": d.width,
        "block_count": d.layers,
        "feed_forward_length": d.feed_forward,
        "attention.head_count": d.heads,
        "attention.head_count_kv": d.kv_heads,
        "attention.key_length": d.head,
        "attention.value_length": d.head,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.dimension_count": d.head,
        "vocab_size": d.words,
    }
    if d.architecture == "gemma2":
        softcaps = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
        found |= {"attention.sliding_window": 4096, **softcaps}
    if d.experts:
        found |= {"expert_count": d.experts, "expert_used_count": 2}
    named = {f"{d.architecture}.{key}": value for key, value in (found | dict(d.more)).items()}
    return {
        "general.architecture": d.architecture,
        "general.file_type": 2,
        "tokenizer.ggml.model": "no_vocab",
        **named,
    }


def decoder_tensors(decoder: Decoder) -> Iterator[NamedTensor]:
    """Name, shape (the contiguous dimension first) and type of each tensor."""
    d = decoder
    yield "token_embd.weight", (d.width, d.words), "F16"
    yield "output_norm.weight", (d.width,), "F32"
    if not d.tied:
        yield "output.weight", (d.width, d.words), "Q4_0"
    for number in range(d.layers):
        for name, shape in _layer(d):
            kind = "F32" if len(shape) == 1 or name == "ffn_gate_inp.weight" else "Q4_0"
            yield f"blk.{number}.{name}", shape, kind


def _layer(d: Decoder) -> Iterator[tuple[str, tuple[int, ...]]]:
    query, key = d.heads * d.head, d.kv_heads * d.head
    yield "attn_norm.weight", (d.width,)
    if d.architecture == "phi3":
        yield "attn_qkv.weight", (d.width, query + 2 * key)
    else:
        for name, size in (("q", query), ("k", key), ("v", key)):
            yield f"attn_{name}.weight", (d.width, size)
            if d.architecture == "qwen2":
                yield f"attn_{name}.bias", (size,)
    yield "attn_output.weight", (query, d.width)
    if d.architecture in ("qwen3", "gemma-embedding"):
        yield "attn_q_norm.weight", (d.head,)
        yield "attn_k_norm.weight", (d.head,)
    if d.architecture != "cohere2":  # attention and feed-forward read the same normed input
        yield "ffn_norm.weight", (d.width,)
    if d.architecture in ("gemma2", "gemma-embedding"):
        yield "post_attention_norm.weight", (d.width,)
        yield "post_ffw_norm.weight", (d.width,)
    yield from _feed_forward(d)


def _feed_forward(d: Decoder) -> Iterator[tuple[str, tuple[int, ...]]]:
    wide = d.feed_forward
    if d.experts:
        yield "ffn_gate_inp.weight", (d.width, d.experts)
        yield "ffn_gate_exps.weight", (d.width, wide, d.experts)
        yield "ffn_up_exps.weight", (d.width, wide, d.experts)
        yield "ffn_down_exps.weight", (wide, d.width, d.experts)
        return
    if d.architecture == "phi3":
        yield "ffn_up.weight", (d.width, 2 * wide)
    else:
        yield "ffn_gate.weight", (d.width, wide)
        yield "ffn_up.weight", (d.width, wide)
    yield "ffn_down.weight", (wide, d.width)
