"""What a tensor of a TFLite model does, put before its name in the words of GGUF.

The section tells most: embedder, image and audio encoders are models of their own. In the language
model, layers and parts are told by the names that Google's two exporters give: ``x_layers_3`` with
``self_attention`` and ``ff_gate`` (MediaPipe), ``layers.3`` with ``self_attn`` and ``mlp``
(litert-torch). Names that say nothing (``arith.constant7``) stay without a role.
"""

from __future__ import annotations

import re
from typing import Final

_SECTIONS: Final = {
    "embedder": "token_embd.", "per_layer_embedder": "per_layer_token_embd.",
    "vision_encoder": "v.", "vision_adapter": "mm.", "end_of_vision": "mm.",
    "audio_encoder_hw": "a.", "audio_frontend": "a.", "audio_adapter": "mm.a.",
    "end_of_audio": "mm.a.", "mtp_drafter": "drafter.",
}  # fmt: skip
_LAYER: Final = re.compile(
    r"(?:x_layers_|\blayers[._/]|transformer_blocks?[._/]|blocks?[._/])(\d+)"
)
_PARTS: Final = (
    ("norm", re.compile(r"norm|layer_scale", re.I)),
    ("attn", re.compile(r"self_att|attention|attn|\b[qkv]_proj|\b(?:query|key|value)\b", re.I)),
    ("ffn", re.compile(r"\bff_|_ff\b|\bmlp\b|ffn|feed_?forward|(?:gate|up|down)_proj", re.I)),
)
_IN_ALL: Final = (
    ("output_norm.", re.compile(r"final_norm|\bnorm\b", re.I)),
    ("output.", re.compile(r"lm_head|logits", re.I)),
    ("token_embd.", re.compile(r"embed", re.I)),
)


def role_name(name: str, section: str) -> str:
    """The name with its role before it, as far as section and name tell."""
    if section in _SECTIONS:
        return _SECTIONS[section] + name
    if match := _LAYER.search(name):
        part = next((role for role, pattern in _PARTS if pattern.search(name)), "")
        return f"blk.{match[1]}.{part}.{name}" if part else f"blk.{match[1]}.{name}"
    part = next((role for role, pattern in _IN_ALL if pattern.search(name)), "")
    return part + name
