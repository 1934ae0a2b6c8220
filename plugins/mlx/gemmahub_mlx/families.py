"""What mlx-lm 0.32.2 does for one family of models alone: the only place here that names one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FamilyHabits:
    """How mlx-lm loads a family.

    ``left_out``: names of tensors that it drops; ``left_out_when_shared``: likewise in layers
    without a cache of their own, whose number is the group. ``quantises_shared``: whether the cache
    can be quantised where layers share one.
    """

    left_out: re.Pattern[str] | None = None
    left_out_when_shared: re.Pattern[str] | None = None
    quantises_shared: bool = True


_HABITS: Final = {
    # ``sanitize`` in mlx_lm/models/gemma4.py and gemma4_text.py.
    "gemma4": FamilyHabits(
        re.compile(r"self_attn\.rotary_emb|input_max|input_min|output_m(ax|in)"),
        re.compile(r"layers\.([0-9]{1,9})\.self_attn\.(k_proj|v_proj|k_norm)\."),
        quantises_shared=False,
    )
}


def habits_of(architecture: str) -> FamilyHabits:
    """By the name that llama.cpp gives the architecture."""
    return _HABITS.get(architecture, FamilyHabits())
