"""What a tensor of an ``.sbs`` file does, put before its name in the words of GGUF.

``qkv_ein_3`` becomes ``blk.3.attn.qkv_ein``: the file's own name stays readable, and gemmahub tells
the role as it does for other formats. Source: google/gemma.cpp gemma/tensor_info.cc@0acc653c.
"""

from __future__ import annotations

import re
from typing import Final

_LAYER: Final = re.compile(r"(.+)_(\d+)")
_IN_ALL: Final = (
    ("token_embd", re.compile(r"(?:c|enc|dec)_embedding")),
    ("output", re.compile(r"lm_head")),
    ("per_layer_token_embd", re.compile(r"ple_embeddings")),
    ("per_layer_model_proj", re.compile(r"ple_model_proj")),
    ("per_layer_proj_norm", re.compile(r"ple_proj_norm")),
    ("output_norm", re.compile(r"(?:c|enc|dec)_final_norm")),
    ("mm", re.compile(r"img_head_.*|mm_embed_norm")),
    ("v", re.compile(r"img_.*|enc_norm_.*")),
)
_IN_LAYERS: Final = (
    # Of the image tower: their names differ from those of the text layers.
    ("v.{}", re.compile(r"attn_out_[wb]|(?:q|k|v|qkv)_ein_[wb]|linear_[01]_[wb]|ln_[01]_\w+")),
    ("blk.{}.norm", re.compile(r".*(?:_ns|norm|_norm_scale)")),
    ("blk.{}.ffn_exps", re.compile(r".*(?:moe|expert|router).*")),
    ("blk.{}.per_layer_projection", re.compile(r"ple_.*")),
    ("blk.{}.attn", re.compile(r"(?:att|qkv|[qkv]_|[ed]_(?:att|qkv|q|k|v|cross)|attn).*")),
    ("blk.{}.ffn", re.compile(r"(?:gat|linear|ffw|up|down|[ed]_(?:gat|lin|up|down)).*")),
)


def role_name(name: str) -> str:
    """The name with its role before it; one that is not known stays as it is."""
    for role, pattern in _IN_ALL:
        if pattern.fullmatch(name):
            return f"{role}.{name}"
    match = _LAYER.fullmatch(name)
    if match is None:
        return name
    for role, pattern in _IN_LAYERS:
        if pattern.fullmatch(match[1]):
            return f"{role.format(match[2])}.{match[1]}"
    return f"blk.{match[2]}.{match[1]}"
