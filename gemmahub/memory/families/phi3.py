"""Phi 3 and 4: as ``src/models/phi3.cpp`` of ggml-org/llama.cpp@0c1e57098 has it."""

from gemmahub.memory.family import FamilyRules
from gemmahub.memory.plain_decoder import PlainDecoder

FAMILY = FamilyRules(
    title="Phi 3", period=1, fused=True, graph=PlainDecoder(fused=True, scales_queries=True)
)
