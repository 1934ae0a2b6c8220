"""Gemma 1: as ``src/models/gemma.cpp`` of ggml-org/llama.cpp@0c1e57098 has it."""

from gemmahub.memory.family import FamilyRules
from gemmahub.memory.plain_decoder import PlainDecoder

FAMILY = FamilyRules(
    title="Gemma", period=1, graph=PlainDecoder(scales_embeddings=True, scales_queries=True)
)
