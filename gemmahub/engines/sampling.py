"""What every engine does with sampling settings: refuse nonsense, fill the gaps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from gemmahub.engines.tool_calls import TOOL_NAME
from gemmahub.errors import GenerationFailed
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.engines.contract import Sampling

# What Google recommends for Gemma; used where the caller leaves the choice to us.
DEFAULT_TOP_K: Final = 64
DEFAULT_TOP_P: Final = 0.95
DEFAULT_MIN_P: Final = 0.0


def check_sampling(sampling: Sampling) -> None:
    """Raises: GenerationFailed when a value makes no sense."""
    wrong = _wrong(sampling)
    if wrong:
        raise GenerationFailed(f"the sampling settings are invalid: {wrong}", "use a valid value")


def _wrong(sampling: Sampling) -> str:
    if not math.isfinite(sampling.temperature) or sampling.temperature < 0:
        return f"temperature {sampling.temperature} is not 0 or more"
    if sampling.max_tokens is not None and sampling.max_tokens < 0:
        return f"max_tokens {sampling.max_tokens} is negative"
    if sampling.top_k is not None and sampling.top_k < 0:
        return f"top_k {sampling.top_k} is negative (0 switches it off)"
    for name, value in (("top_p", sampling.top_p), ("min_p", sampling.min_p)):
        if value is not None and not 0 <= value <= 1:
            return f"{name} {value} is not between 0 and 1"
    names = [tool.name for tool in sampling.tools]
    for name in names:
        if not TOOL_NAME.fullmatch(name):
            return f"a tool is called {one_line(name, 80)!r}: use letters, digits, _ . and -"
        if names.count(name) > 1:
            return f"two tools are called {name}"
    return ""
