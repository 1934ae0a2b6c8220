"""Writes a tiny Gemma 3 with random weights and a chat template, for the tests of engines.

It loads in milliseconds and says nonsense, the same nonsense each time.
"""

from __future__ import annotations

import sys
from array import array
from itertools import pairwise
from math import prod
from random import Random
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.gguf_writer import GgufValue, gguf_header

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WIDTH: Final = 64
"""The embedding length, to which a projector has to fit."""

TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)

THINKING_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message['role'] }}\n"
    "{{ message['content'].split('<channel|>')[-1] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model:"
    "{% if not enable_thinking | default(false) %}<|channel>thought\n<channel|>{% endif %}"
    "{% endif %}"
)
"""As Gemma 4's: a thought where one is asked for, else an empty one that has ended."""

THINKING_CHAIN: Final = (
    *(":", "<|channel>", "thought", "\n"), *"PLANIT", "<channel|>", *"yes!", "<end_of_turn>"
)  # fmt: skip
"""What such a model says after its template."""

TOOLS_TEMPLATE: Final = (
    "{{ bos_token }}{% for tool in tools or [] %}<|tool>declaration:{{ tool.function.name }}"
    "{{ tool.function.parameters | tojson }}<tool|>{% endfor %}"
    "{% for message in messages %}<start_of_turn>{{ message['role'] }}\n"
    "{% for call in message['tool_calls'] or [] %}<|tool_call>call:{{ call.function.name + '{' }}"
    "{% for key, value in call.function.arguments | dictsort %}{{ key }}:{{ value | tojson }}"
    "{% endfor %}{{ '}' }}<tool_call|>{% endfor %}"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model"
    "{{ ':' if tools and messages[-1]['role'] != 'tool' else '=' }}{% endif %}"
)
"""In the form of Gemma 4's: the tools, calls, and their results."""

TOOLS_CHAIN: Final = (
    *(":", "<|tool_call>", "call:look_up{mountain:", '<|"|>', 'K2<|"|>}', "<tool_call|>"),
    *("<end_of_turn>", "=", "high", "!", "<eos>"),
)
"""What such a model says: a call where it may, else an answer."""

_LAYERS, _HEADS, _HEAD, _WIDE, _WINDOW = 2, 2, 32, 128, 64
_SPREAD: Final = 0.2
_SURE: Final = 20.0
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6  # enum llama_token_type
_OUTPUT: Final = "output.weight"  # of its own: with that of the input it would repeat itself
_CONTROLS: Final = ("<pad>", "<eos>", "<bos>", "<unk>")
_TURNS: Final = ("<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>")
_LETTERS: Final = "".join(map(chr, range(33, 127))) + "\u2581\n"


def write_thinking_model(path: Path, *, template: str = THINKING_TEMPLATE) -> int:
    """Writes a model that thinks ``PLANIT`` and answers ``yes!``; returns the bytes of the file."""
    return write_model(path, template=template, chain=THINKING_CHAIN)


def write_calling_model(path: Path, *, template: str = TOOLS_TEMPLATE) -> int:
    """Writes a model that calls ``look_up`` where it has tools, with the mountain K2, and answers
    ``high!`` after the result and without tools; returns the bytes of the file."""
    return write_model(path, template=template, chain=TOOLS_CHAIN)


def write_embedding_model(path: Path) -> int:
    """Writes a model that makes vectors of texts, as EmbeddingGemma does; returns the bytes of the
    file."""
    return write_model(path, template="", embeds=True)


def write_model(
    path: Path,
    *,
    template: str = TEMPLATE,
    seed: int = 0,
    letters: str = "",
    chain: Sequence[str] = (),
    embeds: bool = False,
) -> int:
    """Writes the model, of two layers and all F32; returns the bytes of the file.

    Its words are single characters, and bytes for what has none; ``letters`` are more characters,
    such as "é日", for answers that are not all ASCII. An empty ``template`` makes it a base model.
    With a ``chain`` of different words, the likeliest word after each of them is the next.
    """
    metadata = _metadata(letters, chain, embeds=embeds)
    if template:
        metadata["tokenizer.chat_template"] = template
    tensors = _tensors(len(metadata["tokenizer.ggml.tokens"]))
    header, full = gguf_header(metadata, tensors)
    values, draw = array("f"), Random(seed)
    for name, shape, _ in tensors:  # all are multiples of 32 bytes, so nothing lies between them
        middle = 1.0 if len(shape) == 1 else 0.0
        values.extend(draw.gauss(middle, _SPREAD) for _ in range(prod(shape)))
        if name == _OUTPUT:  # letters are likelier answers than control tokens and bytes
            for place in range(
                len(values) - prod(shape), len(values) - len(_LETTERS + letters) * WIDTH
            ):
                values[place] /= 20
    if chain:
        _follow(values, tensors, [metadata["tokenizer.ggml.tokens"].index(word) for word in chain])
    if sys.byteorder == "big":
        values.byteswap()
    path.write_bytes(header + values.tobytes())
    return full


def _follow(values: array[float], tensors: list[tuple[str, Any, str]], chain: list[int]) -> None:
    """Make each word of the chain the likeliest after the one before: nothing but the last word
    counts, and the output's row of a word is the embedding of its predecessor."""
    start, places = 0, {}
    for name, shape, _ in tensors:
        places[name] = start
        start += prod(shape)
        if name.endswith(("post_attention_norm.weight", "post_ffw_norm.weight")):
            values[start - prod(shape) : start] = array("f", [0.0] * prod(shape))
        elif name == "output_norm.weight":
            values[start - prod(shape) : start] = array("f", [1.0] * prod(shape))
    embeddings, output = places["token_embd.weight"], places[_OUTPUT]
    for before, word in pairwise(chain):
        row = values[embeddings + before * WIDTH : embeddings + (before + 1) * WIDTH]
        here = output + word * WIDTH
        values[here : here + WIDTH] = array("f", [_SURE * value for value in row])


def _metadata(more: str = "", chain: Sequence[str] = (), *, embeds: bool = False) -> dict[str, Any]:
    architecture = "gemma-embedding" if embeds else "gemma3"
    letters = [*_LETTERS, *more]
    octets = [f"<0x{byte:02X}>" for byte in range(256)]
    words = [*_CONTROLS, *_TURNS, *octets, *letters]
    others = [word for word in chain if word not in words]
    kinds = [_CONTROL] * 3 + [_UNKNOWN] + [_CONTROL] * len(_TURNS)
    kinds += [_BYTE] * len(octets) + [_NORMAL] * len(letters)
    kinds += [_CONTROL if word.startswith("<") else _USER_DEFINED for word in others]
    words += others
    sizes = {
        "context_length": 4096,
        "embedding_length": WIDTH,
        "block_count": _LAYERS,
        "feed_forward_length": _WIDE,
        "attention.head_count": _HEADS,
        "attention.head_count_kv": 1,
        "attention.key_length": _HEAD,
        "attention.value_length": _HEAD,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.sliding_window": _WINDOW,
        "rope.freq_base": 1e6,
    }
    if embeds:  # llama.cpp ends itself where no layer reads the whole text
        sizes |= {"pooling_type": 1, "attention.sliding_window_pattern": _LAYERS}
    return {
        "general.architecture": architecture,
        "general.name": "Tiny Gemma",
        "general.file_type": 0,
        **{f"{architecture}.{key}": value for key, value in sizes.items()},
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.scores": GgufValue("f32", [-float(n) for n in range(len(words))]),
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": embeds,
        "tokenizer.ggml.add_space_prefix": False,
    }


def _tensors(words: int) -> list[tuple[str, tuple[int, ...], str]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (WIDTH, words),
        _OUTPUT: (WIDTH, words),
        "output_norm.weight": (WIDTH,),
    }
    layer: dict[str, tuple[int, ...]] = {
        "attn_q": (WIDTH, _HEADS * _HEAD),
        "attn_k": (WIDTH, _HEAD),
        "attn_v": (WIDTH, _HEAD),
        "attn_output": (_HEADS * _HEAD, WIDTH),
        "attn_q_norm": (_HEAD,),
        "attn_k_norm": (_HEAD,),
        "ffn_gate": (WIDTH, _WIDE),
        "ffn_up": (WIDTH, _WIDE),
        "ffn_down": (_WIDE, WIDTH),
    }
    norms = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
    layer |= dict.fromkeys(norms, (WIDTH,))
    for number in range(_LAYERS):
        shapes |= {f"blk.{number}.{name}.weight": shape for name, shape in layer.items()}
    return [(name, shape, "F32") for name, shape in shapes.items()]
