"""Gemma 2, as ``src/models/gemma2.cpp`` of ggml-org/llama.cpp@0c1e57098 has it."""

from gemmahub.memory.family import FamilyRules

FAMILY = FamilyRules(title="Gemma 2", period=2, default_window=4096)
