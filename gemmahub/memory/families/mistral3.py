"""Mistral 3: as ``src/models/mistral3.cpp`` of ggml-org/llama.cpp@0c1e57098 has it."""

from gemmahub.memory.family import FamilyRules
from gemmahub.memory.plain_decoder import PlainDecoder

FAMILY = FamilyRules(title="Mistral 3", period=1, graph=PlainDecoder())
