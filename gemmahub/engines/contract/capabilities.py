"""What a backend may have of the optional, by the names that stand in ``Backend.capabilities``.

What is not declared is never asked for: the core refuses a setting or a request that needs a
capability which the backend does not declare, so that nothing is ignored in silence.
"""

from __future__ import annotations

from typing import Final

OF_BACKENDS: Final[dict[str, str]] = {
    "dry_load": "says what a load would allocate (Backend.dry_load)",
    "quantize": "writes a model at another precision (Backend.quantize)",
    "importance": "makes an importance matrix from a text (Backend.make_importance)",
    "serve": "serves a model over HTTP as OpenAI does (Backend.serve)",
    "unload": "frees a model's memory, whoever loaded it (Backend.unload)",
    "parallel": "a session answers several requests at once",
    "fixed_context": "the server sets the context, Settings.context is ignored",
}

OF_SESSIONS: Final[dict[str, str]] = {
    "images": "messages may have images, if the model accepts them",
    "audio": "messages may have audio, if the model accepts it",
    "thinking": "thinking comes as separate chunks, and Sampling.thinking is followed",
    "tools": "Sampling.tools are offered, calls come as chunks, results are accepted",
    "schema": "Sampling.schema is followed",
    "grammar": "Sampling.grammar is followed",
    "score": "log probabilities of a text's tokens (Session.score)",
    "score_at": "the same for chosen windows and chosen tokens (Session.score_at)",
    "embed": "embeddings of texts (Session.embed)",
}

OF_SETTINGS: Final[dict[str, str]] = {
    "drafter": "Settings.drafter: a small model drafts tokens",
    "adapters": "Settings.adapters: LoRA adapters",
    "tensor_split": "Settings.tensor_split: shares of several devices",
    "main_device": "Settings.main_device: which device is used, or leads",
    "experts_in_memory": "Settings.experts_in_memory: experts that stay in system memory",
    "cache_in_memory": "Settings.cache_in_memory: keys and values that stay in system memory",
    "remote_workers": "Settings.remote_workers: devices of other machines (Backend.remote_devices)",
    "cluster": "Settings.cluster: several GPUs, or several machines, hold one model together",
}
"""Each is named as its field of :class:`gemmahub.engines.contract.Settings`."""

CAPABILITIES: Final[dict[str, str]] = OF_BACKENDS | OF_SESSIONS | OF_SETTINGS
"""All of them, each with what it means."""
