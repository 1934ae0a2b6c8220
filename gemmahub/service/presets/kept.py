"""The use case: a preset of what a conversation is held with; what is doubtful of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Sampling, Settings
from gemmahub.errors import GemmahubError, NotInstalled
from gemmahub.service.presets.stored import save_preset
from gemmahub.text import strip_controls

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.service.installation import Installation
    from gemmahub.service.presets.record import ModelPreset

_SETTINGS: Final = (
    "context", "gpu_layers", "experts_in_memory", "cache_in_memory", "threads"
)  # fmt: skip
_SAMPLING: Final = ("temperature", "top_k", "top_p", "min_p", "seed", "max_tokens")
_USUAL: Final = Sampling()
_USUAL_SETTINGS: Final = Settings()


def keep_as_preset(
    name: str,
    reference: str,
    settings: Settings,
    sampling: Sampling,
    system: str = "",
    *,
    backend: str | None = None,
    tools: Path | None = None,
) -> ModelPreset:
    """Save what a conversation is held with, as far as it is not the default; ``tools`` is the file
    of its tools.

    Raises: UsageError for a name that cannot be, and for a settings file that cannot be written.
    """
    values: dict[str, Any] = {"model": reference, "backend": backend or None}
    values |= _changed(settings, _USUAL_SETTINGS, _SETTINGS)
    if settings.cache_type_k != _USUAL_SETTINGS.cache_type_k:
        values["cache_type"] = settings.cache_type_k
    values["options"] = {key: str(value) for key, value in settings.options.items()}
    values["system"] = strip_controls(system).strip()
    values |= _changed(sampling, _USUAL, _SAMPLING)
    values["stop"] = list(sampling.stop)
    if type(sampling.thinking) is bool:
        values["think"] = sampling.thinking
    elif sampling.thinking is not None:
        values["think_budget"] = sampling.thinking
    if tools is not None and sampling.tools:
        values["tools"] = str(tools.absolute())
    said = {key: value for key, value in values.items() if value not in (None, "", [], {})}
    return save_preset(name, said)


def doubtful_model(here: Installation, preset: ModelPreset) -> str:
    """Why no model may be found under a preset's reference, "" where one is known or may be got:
    a typing mistake is told when the preset is kept, and not when it is used."""
    try:
        here.registry.resolve(preset.model)
    except NotInstalled:
        return ""
    except GemmahubError as error:
        return error.in_full
    return ""


def _changed(record: object, usual: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: value
        for name in names
        if (value := getattr(record, name)) is not None and value != getattr(usual, name)
    }
