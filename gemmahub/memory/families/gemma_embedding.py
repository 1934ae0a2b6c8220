"""EmbeddingGemma: its rules.

Source: ``src/models/gemma-embedding.cpp`` of ggml-org/llama.cpp: Gemma 3's layers, each token of
which sees all others, or those in its window; nothing is kept from one text to the next.
"""

from __future__ import annotations

from gemmahub.memory.family import FamilyRules

FAMILY = FamilyRules(title="EmbeddingGemma", period=6, own_caches=0, embeds=True)
