"""What LM Studio answers, as its documentation shows it; recorded there, not from a program.

Source: lmstudio-ai/docs@35ec6d3d ``1_developer/2_rest/list.md`` (the list),
lmstudio-ai/docs@15ed6982 ``1_developer/2_rest/unload.md``, and
https://lmstudio.ai/docs/developer/rest/load (loading); https://lmstudio.ai/docs/api/rest-api for
the interface before 0.4. Descriptions and models other than Gemma are left out or shortened.
"""

from __future__ import annotations

from typing import Any, Final

LIST: Final[dict[str, Any]] = {
    "models": [
        {
            "type": "llm",
            "publisher": "lmstudio-community",
            "key": "gemma-3-270m-it-qat",
            "display_name": "Gemma 3 270m Instruct Qat",
            "architecture": "gemma3",
            "quantization": {"name": "Q4_0", "bits_per_weight": 4},
            "size_bytes": 241410208,
            "params_string": "270M",
            "loaded_instances": [{"id": "gemma-3-270m-it-qat", "config": {"context_length": 4096}}],
            "max_context_length": 32768,
            "format": "gguf",
            "capabilities": {"vision": False, "trained_for_tool_use": False},
            "description": None,
        },
        {
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
        },
    ]
}
OPENAI_LIST: Final = {
    "object": "list",
    "data": [
        {"id": each["key"], "object": "model", "owned_by": "organization_owner"}
        for each in LIST["models"]
    ],
}
LOADED: Final = {
    "type": "llm",
    "instance_id": "gemma-3-270m-it-qat:2",
    "load_time_seconds": 9.099,
    "status": "loaded",
    "load_config": {
        "context_length": 16384,
        "eval_batch_size": 512,
        "flash_attention": True,
        "offload_kv_cache_to_gpu": True,
    },
}
UNLOADED: Final = {"instance_id": "gemma-3-270m-it-qat:2"}
UNEXPECTED: Final = {"error": "Unexpected endpoint or method. (GET /api/v1/models)"}
OLD_LIST: Final = {
    "object": "list",
    "data": [
        {
            "id": "gemma-3-4b-it",
            "object": "model",
            "type": "vlm",
            "publisher": "mlx-community",
            "arch": "gemma3",
            "compatibility_type": "mlx",
            "quantization": "4bit",
            "state": "loaded",
            "max_context_length": 131072,
            "loaded_context_length": 8192,
        },
        {
            "id": "gemma-3-1b-it",
            "object": "model",
            "type": "llm",
            "publisher": "lmstudio-community",
            "arch": "gemma3",
            "compatibility_type": "gguf",
            "quantization": "Q4_K_M",
            "state": "not-loaded",
            "max_context_length": 32768,
        },
    ],
}
