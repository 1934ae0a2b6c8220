"""Llama, and Mistral as most GGUF files call it, as ``src/models/llama.cpp`` of
ggml-org/llama.cpp@0c1e57098 has it.
"""

from gemmahub.memory.family import FamilyRules
from gemmahub.memory.plain_decoder import PlainDecoder

FAMILY = FamilyRules(title="Llama", period=1, graph=PlainDecoder())
