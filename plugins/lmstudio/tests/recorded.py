"""Answers of LM Studio's REST interface as its documents show them. No LM Studio was at hand.

LISTED: lmstudio-ai/docs@e70f7464 ``1_developer/2_rest/list.md``; the second model is that of
https://lmstudio.ai/docs/developer/rest/list for LM Studio 0.4, which adds ``variants``,
``selected_variant``, ``reasoning`` and more of the configuration. LOADED: ``load.md`` @ed3080de.
UNLOADED: ``unload.md`` @15ed6982. OLD: ``endpoints.md`` @e35e35a8 (before 0.4).
"""

from __future__ import annotations

from typing import Any, Final

from plugins.openai.tests.studio_answers import LIST

TINY: Final[dict[str, Any]] = LIST["models"][0]
LARGE: Final[dict[str, Any]] = {
    "type": "llm",
    "publisher": "google",
    "key": "google/gemma-4-26b-a4b",
    "display_name": "Gemma 4 26B A4B",
    "architecture": "gemma4",
    "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
    "size_bytes": 17990911801,
    "params_string": "26B-A4B",
    "loaded_instances": [
        {
            "id": "google/gemma-4-26b-a4b",
            "config": {
                "context_length": 4096,
                "eval_batch_size": 512,
                "parallel": 4,
                "flash_attention": True,
                "num_experts": 8,
                "offload_kv_cache_to_gpu": True,
            },
        }
    ],
    "max_context_length": 262144,
    "format": "gguf",
    "capabilities": {
        "vision": True,
        "trained_for_tool_use": True,
        "reasoning": {"allowed_options": ["off", "on"], "default": "on"},
    },
    "description": None,
    "variants": ["google/gemma-4-26b-a4b@q4_k_m"],
    "selected_variant": "google/gemma-4-26b-a4b@q4_k_m",
}
EMBEDS: Final[dict[str, Any]] = {
    "type": "embedding",
    "publisher": "gaianet",
    "key": "text-embedding-nomic-embed-text-v1.5-embedding",
    "display_name": "Nomic Embed Text v1.5",
    "quantization": {"name": "F16", "bits_per_weight": 16},
    "size_bytes": 274290560,
    "params_string": None,
    "loaded_instances": [],
    "max_context_length": 2048,
    "format": "gguf",
}
LISTED: Final[dict[str, Any]] = {"models": [TINY, LARGE, EMBEDS]}
LOADED: Final[dict[str, Any]] = {
    "type": "llm",
    "instance_id": "openai/gpt-oss-20b",
    "load_time_seconds": 9.099,
    "status": "loaded",
    "load_config": {
        "context_length": 16384,
        "eval_batch_size": 512,
        "flash_attention": True,
        "offload_kv_cache_to_gpu": True,
        "num_experts": 4,
    },
}
LOAD_KEYS: Final = frozenset(
    {
        "model",
        "context_length",
        "eval_batch_size",
        "flash_attention",
        "num_experts",
        "offload_kv_cache_to_gpu",
        "echo_load_config",
    }
)
"""All that the body of a load may have; others are refused."""
OLD: Final[dict[str, Any]] = {
    "object": "list",
    "data": [
        {
            "id": "qwen2-vl-7b-instruct",
            "object": "model",
            "type": "vlm",
            "publisher": "mlx-community",
            "arch": "qwen2_vl",
            "compatibility_type": "mlx",
            "quantization": "4bit",
            "state": "not-loaded",
            "max_context_length": 32768,
        },
        {
            "id": "meta-llama-3.1-8b-instruct",
            "object": "model",
            "type": "llm",
            "publisher": "lmstudio-community",
            "arch": "llama",
            "compatibility_type": "gguf",
            "quantization": "Q4_K_M",
            "state": "not-loaded",
            "max_context_length": 131072,
        },
    ],
}
# --- errors, as people reported them -------------------------------------------------------------
NO_KEY: Final = {
    "error": {
        "type": "invalid_request",
        "code": "invalid_api_key",
        "message": "An LM Studio API token is required to make requests to this server, but none "
        "was provided using the Authorization header using the 'Bearer' scheme",
    }
}
"""LM Studio 0.4.18: https://github.com/agustif/opencode-lmstudio/issues/41."""
TOO_LONG: Final = (
    "The number of tokens to keep from the initial prompt is greater than the context length "
    "(n_keep: {asked}>= n_ctx: {context}). Try to load the model with a larger context length, or "
    "provide a shorter input."
)
"""HTTP 400 with ``{{"error": TEXT}}``: https://github.com/Gitlawb/openclaude/issues/353."""
TOO_LONG_OTHERS: Final = (
    # lmstudio-bug-tracker issue 546 (0.3.13)
    "Trying to keep the first 111490 tokens when context the overflows. However, the model is "
    "loaded with context length of only 32768 tokens, which is not enough.",
    # anomalyco/opencode issue 11141 (0.4)
    "Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)",
    # lmstudio-bug-tracker issue 2339: MLX
    "Context size has been exceeded",
)
FULL: Final = (
    "Reached context length of 512 tokens with model (arch: gemma3) that does not currently "
    "support mid-generation context overflow. Try reloading with a larger context length or "
    "shortening the prompt/chat."
)
"""In the middle of an answer: lmstudio-bug-tracker issues 1024 and 1251."""


def no_endpoint(method: str, path: str) -> dict[str, Any]:
    """With HTTP 200: lmstudio-bug-tracker issues 618 and 1323."""
    return {"error": f"Unexpected endpoint or method. ({method} {path})"}
