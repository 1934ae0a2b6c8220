"""What a backend declares, held against what it is asked for: nothing is ignored in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.engines.contract import OF_BACKENDS, OF_SESSIONS, OF_SETTINGS, Settings
from gemmahub.errors import BackendError, GenerationFailed, LoadFailed

if TYPE_CHECKING:
    from gemmahub.engines.contract import Backend, Prompt, Sampling

_USUAL = Settings()
_CANNOT = {
    "schema": "cannot constrain an answer to a JSON schema",
    "grammar": "cannot constrain an answer to a grammar",
    "thinking": "cannot switch thinking on",
    "tools": "does not support tools",
    "audio": "does not support audio",
}


def check_settings(backend: Backend, settings: Settings) -> None:
    """Raises: LoadFailed for a setting that needs a capability the backend does not declare."""
    for name in OF_SETTINGS:
        if getattr(settings, name) != getattr(_USUAL, name) and name not in backend.capabilities:
            words = name.replace("_", " ")
            raise LoadFailed(
                f"{backend.name} cannot load a model with the setting {words}",
                "leave it out, or choose another engine with --backend",
            )


def check_request(backend: Backend, prompt: Prompt, sampling: Sampling) -> None:
    """Raises: GenerationFailed for a request that needs a capability which is not declared."""
    asked = {
        "schema": sampling.schema is not None,
        "grammar": sampling.grammar is not None,
        "thinking": sampling.thinking not in (None, False),
        "tools": bool(sampling.tools),
    }
    if not isinstance(prompt, str):
        asked["tools"] |= any(m.tool_calls or m.role == "tool" for m in prompt)
        asked["audio"] = any(message.audio for message in prompt)
    if asked["schema"] and asked["grammar"]:
        raise GenerationFailed("a schema and a grammar cannot be combined", "use one of them")
    for name, is_asked in asked.items():
        if is_asked and name not in backend.capabilities:
            raise GenerationFailed(
                f"{backend.name} {_CANNOT[name]}",
                "leave that out, or choose another engine with --backend",
            )


def check_capability(backend: Backend, name: str) -> None:
    """Raises: BackendError for a capability that the backend does not declare."""
    if name not in backend.capabilities:
        means = (OF_BACKENDS | OF_SESSIONS)[name]
        raise BackendError(
            f"{backend.name} has no {name}: {means}", "choose another engine with --backend"
        )
