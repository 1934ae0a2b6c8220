"""What a tensor does, told from its name in GGUF, Transformers or MLX files.

Sources: llama.cpp ``src/llama-arch.cpp`` (GGUF names, 0.3.36), Transformers' ``modeling_gemma3*``
and ``modeling_gemma4*`` module names, and ``gm/nn`` of google-deepmind/gemma 4.0.1 (its own names).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

EMBEDDING: Final = "embedding"
PER_LAYER_EMBEDDING: Final = "per-layer embedding"
ATTENTION: Final = "attention"
FEED_FORWARD: Final = "feed-forward"
EXPERT: Final = "expert"
NORM: Final = "norm"
OUTPUT: Final = "output"
VISION: Final = "vision"
AUDIO: Final = "audio"
PROJECTOR: Final = "projector"
OTHER: Final = "other"

ROLES: Final = (
    EMBEDDING,
    PER_LAYER_EMBEDDING,
    ATTENTION,
    FEED_FORWARD,
    EXPERT,
    OUTPUT,
    NORM,
    VISION,
    AUDIO,
    PROJECTOR,
    OTHER,
)
"""All roles in the order in which reports list them."""

# The first pattern that matches decides, so towers stand before the layers they contain.
_PATTERNS: Final = tuple(
    (re.compile(pattern), role)
    for pattern, role in (
        (r"^mm\.|multi_modal_projector|\bembed_(vision|audio)\b", PROJECTOR),
        (r"^v\.|\bvision_(tower|model|encoder)\b", VISION),
        (r"^a\.|\baudio_(tower|model|encoder)\b", AUDIO),
        (
            r"per_layer_(token_embd|model_proj|proj_norm)|embed_tokens_per_layer",
            PER_LAYER_EMBEDDING,
        ),
        (r"per_layer_(model_projection|projection|input)", PER_LAYER_EMBEDDING),
        (r"^blk\.\d+\.(inp_gate|proj|post_norm)\.", PER_LAYER_EMBEDDING),
        (r"norm", NORM),
        (r"\btoken_embd\b|\bembed_tokens\b|\bwte\b|\binput_embedding\b", EMBEDDING),
        (r"^output\.|\blm_head\b", OUTPUT),
        (r"exps\b|\bexperts?\b|\brouter\b|ffn_gate_inp", EXPERT),
        (r"\battn|_attn\b|\battention\b", ATTENTION),
        (r"\bffn|\bmlp\b|\bfeed_forward\b", FEED_FORWARD),
    )
)


_DIGITS: Final = re.compile(r"[0-9]+")


@lru_cache(maxsize=8192)  # the same names come in file after file
def tensor_role(name: str) -> str:
    """The role of the tensor with that name."""
    return _role_of(_DIGITS.sub("0", name))


@lru_cache(maxsize=1024)  # numbers of layers and experts make no difference to the patterns
def _role_of(name: str) -> str:
    for pattern, role in _PATTERNS:
        if pattern.search(name):
            return role
    return OTHER
