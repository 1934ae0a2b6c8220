"""Qwen 2 and 2.5: as ``src/models/qwen2.cpp`` of ggml-org/llama.cpp@0c1e57098 has it."""

from gemmahub.memory.family import FamilyRules
from gemmahub.memory.plain_decoder import PlainDecoder

FAMILY = FamilyRules(title="Qwen 2", period=1, graph=PlainDecoder(biases=True))
