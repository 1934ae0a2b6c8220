"""Gemma 2: as ``src/models/gemma2.cpp`` of ggml-org/llama.cpp@0c1e57098 has it."""

from gemmahub.memory.family import FamilyRules
from gemmahub.memory.plain_decoder import PlainDecoder

FAMILY = FamilyRules(
    title="Gemma 2",
    period=2,
    default_window=4096,
    graph=PlainDecoder(scales_embeddings=True, scales_queries=True, post_norms=True, softcap=True),
)
