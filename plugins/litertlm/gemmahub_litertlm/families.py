"""The families that LiteRT-LM knows, by their numbers in its metadata.

Source: google-ai-edge/LiteRT-LM runtime/proto/llm_model_type.proto@2fa9a6b4, ``oneof model_type``.
"""

from __future__ import annotations

from typing import Final

MODEL_TYPES: Final = {
    1: "generic", 2: "gemma3n", 3: "gemma3", 4: "gemma3", 5: "qwen3", 7: "qwen2", 8: "gemma4",
    9: "fastvlm", 11: "lfm2", 12: "minicpm5", 13: "gemma3",
}  # fmt: skip
"""``oneof model_type``, by the names that other formats have for the architectures; 3 is
FunctionGemma and 13 the smallest Gemma 3."""
