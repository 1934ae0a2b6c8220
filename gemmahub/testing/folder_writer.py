"""Writes a tiny Gemma 3 as a folder, for the tests of engines: weights, config, a real tokenizer.

MLX, Transformers and others load it in milliseconds; it says nonsense, the same nonsense each time.
Needs none of them. Source of the names: ``Gemma3ForCausalLM`` of huggingface/transformers; of the
tokenizer's parts: huggingface/tokenizers.
"""

from __future__ import annotations

import json
import struct
from math import prod
from random import Random
from typing import TYPE_CHECKING, Any, Final

from gemmahub.testing.model_writer import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPECIAL: Final = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
CONFIG: Final[dict[str, Any]] = {
    "model_type": "gemma3_text",
    "architectures": ["Gemma3ForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "vocab_size": 512,
    "sliding_window": 64,
    "sliding_window_pattern": 2,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": False,
    "bos_token_id": 2,
    "eos_token_id": [1, 5],
    "pad_token_id": 0,
}
_LETTERS: Final = [
    *map(chr, range(0x21, 0x7F)),  # without the space, which SentencePiece writes as U+2581
    "\u2581",
    "\n",
    *map(chr, range(0x410, 0x450)),  # Cyrillic
    *map(chr, range(0x1F600, 0x1F620)),  # emoji
    *"日本の首都は東京です",
]
_DTYPES: Final = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def vocabulary() -> dict[str, int]:
    """Control tokens, the 256 bytes, and letters of one to four bytes."""
    words = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys(_LETTERS)]
    return {word: number for number, word in enumerate(words)}


def write_model_folder(
    folder: Path, dtype: str = "float32", *, template: str | None = TEMPLATE, **config: Any
) -> Path:
    """Writes a model of two layers into a folder, and returns the folder.

    ``dtype`` is that of the weights: ``float32``, ``float16`` or ``bfloat16``; ``config`` replaces
    entries of :data:`CONFIG`. ``template`` None makes it a base model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = CONFIG | config
    (folder / "config.json").write_text(json.dumps(values | {"torch_dtype": dtype}), "utf-8")
    write_tokenizer(folder, template)
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    weights = bytearray()
    draw = Random(7)
    for name, shape in _shapes(values):
        begin = len(weights)
        weights += _encoded(_drawn(name, shape, draw), dtype)
        kind = {"dtype": _DTYPES[dtype], "shape": shape, "data_offsets": [begin, len(weights)]}
        header[name] = kind
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    content = len(raw).to_bytes(8, "little") + raw + weights
    (folder / "model.safetensors").write_bytes(content)
    return folder


def write_tokenizer(folder: Path, template: str | None = TEMPLATE) -> None:
    """``tokenizer.json`` and its configuration, built as Gemma's are."""
    words = vocabulary()
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    bos: dict[str, Any] = {"SpecialToken": {"id": "<bos>", "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    made: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": words[word], "content": word, **plain, "special": True} for word in SPECIAL
        ],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, first],
            "pair": [bos, first, bos, second],
            "special_tokens": {
                "<bos>": {"id": "<bos>", "ids": [words["<bos>"]], "tokens": ["<bos>"]}
            },
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": words,
            "merges": [],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(made, ensure_ascii=False), "utf-8")
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": {"content": "<eos>"},
    }
    if template is not None:
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def _shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, wide, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries = config["num_attention_heads"] * head
    keys = config["num_key_value_heads"] * head
    yield "model.embed_tokens.weight", (config["vocab_size"], width)
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "self_attn.q_norm": (head,),
        "self_attn.k_norm": (head,),
        "mlp.gate_proj": (wide, width),
        "mlp.up_proj": (wide, width),
        "mlp.down_proj": (width, wide),
        "input_layernorm": (width,),
        "post_attention_layernorm": (width,),
        "pre_feedforward_layernorm": (width,),
        "post_feedforward_layernorm": (width,),
    }
    for number in range(config["num_hidden_layers"]):
        for name, shape in layer.items():
            yield f"model.layers.{number}.{name}.weight", shape
    yield "model.norm.weight", (width,)
    yield "lm_head.weight", (config["vocab_size"], width)


def _drawn(name: str, shape: tuple[int, ...], draw: Random) -> list[float]:
    if len(shape) == 1:
        return [0.0] * shape[0]  # Gemma's norms multiply by one more than this
    spread = 0.15 if "embed" in name else 0.1
    values = [draw.gauss(0.0, spread) for _ in range(prod(shape))]
    if name.startswith("lm_head"):
        # Letters only are ever said: lone bytes would be no text, and an end comes at random.
        first, end = (len(SPECIAL) + 256) * shape[1], len(vocabulary()) * shape[1]
        values[:first] = [0.0] * first
        values[end:] = [0.0] * (len(values) - end)
    return values


def _encoded(values: list[float], dtype: str) -> bytes:
    if dtype == "float16":
        return struct.pack(f"<{len(values)}e", *values)
    wide = struct.pack(f"<{len(values)}f", *values)
    if dtype == "float32":
        return wide
    both = memoryview(wide).cast("H")  # bfloat16 is the upper half of a float32
    return both[1::2].tobytes()
