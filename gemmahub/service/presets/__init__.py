"""Presets: a model with its settings, system prompt and sampling, under a name.

``[presets.NAME]`` of the settings file holds them, ``@NAME`` names one wherever a model is named.
"""

from __future__ import annotations

from gemmahub.service.presets.record import ModelPreset, preset_of
from gemmahub.service.presets.stored import (
    BrokenPreset,
    find_preset,
    is_kept,
    model_in,
    presets,
    remove_preset,
    save_preset,
)

__all__ = [
    "BrokenPreset",
    "ModelPreset",
    "find_preset",
    "is_kept",
    "model_in",
    "preset_of",
    "presets",
    "remove_preset",
    "save_preset",
]
