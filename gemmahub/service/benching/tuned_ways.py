"""What ``bench --tune`` tries, and which of it stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Settings
from gemmahub.hardware.cpu import compute_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.measurements.records import Conditions
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation

LAST: Final = 3
"""So many candidates are not halved any more."""

_MOST: Final = 32
_UBATCHES: Final = (128, 256, 512)
_SMALLER_CACHES: Final = ("q8_0", "q4_0")


@dataclass(slots=True)
class TriedSettings:
    """Settings that are tried: the seconds that reading a question and answering it would take, by
    each run."""

    changes: dict[str, Any]
    seconds: list[float] = field(default_factory=list)
    conditions: Conditions | None = None
    problem: str = ""

    @property
    def middle(self) -> float:
        """The median of its runs."""
        return median(self.seconds)


def candidates(
    here: Installation,
    variant: Variant,
    capabilities: frozenset[str],
    base: dict[str, Any],
    *,
    smaller_caches: bool,
) -> list[dict[str, Any]]:
    """What is tried, the usual settings first: ``_MOST`` at most."""
    from gemmahub.service.drafting import drafter_of

    cores = compute_threads()
    logical = here.hardware().cpu.usable.value or cores
    threads = dict.fromkeys(n for n in (None, cores - 1, cores // 2, logical) if n != cores)
    drafter = drafter_of(here, variant) if "drafter" in capabilities else None
    ways: dict[str, list[Any]] = {
        "threads": [n for n in threads if n is None or n > 0],
        "ubatch": [None, *(n for n in _UBATCHES if n != Settings().ubatch)],
        "flash_attention": [None, False],
        "cache_type": [None, *(_SMALLER_CACHES if smaller_caches else ())],
        "drafter": [None] if drafter is None else [None, drafter],
    }
    if layers := base.get("gpu_layers"):
        ways["gpu_layers"] = [layers, *(n for n in (layers - 1, layers - 3) if n > 0)]
    if kept := base.get("experts_in_memory"):
        ways["experts_in_memory"] = [kept, kept + 2]
    found = [dict(zip(ways, values, strict=True)) for values in product(*ways.values())]
    found = [
        each for each in found if not (each["cache_type"] and each["flash_attention"] is False)
    ]
    found = [{n: v for n, v in each.items() if v is not None} for each in found]
    usual, *others = found
    if len(others) >= _MOST:
        others = Random(20).sample(others, _MOST - 1)
    return [usual, *others]


def kept_of(measured: Sequence[TriedSettings]) -> list[TriedSettings]:
    """The better half, and what noise may have put behind it: three quarters at most."""
    ranked = sorted(measured, key=lambda each: each.middle)
    half = -(-len(ranked) // 2)
    slowest = max((run for each in ranked[:half] for run in each.seconds), default=0.0)
    most = max(half, len(ranked) * 3 // 4)
    more = [each for each in ranked[half:most] if min(each.seconds) < slowest]
    return ranked[:half] + (more if len(ranked) > LAST else [])


def better_than_usual(usual: TriedSettings, left: Sequence[TriedSettings]) -> TriedSettings | None:
    """The best of what is left, where all its runs were faster than all of the usual settings in
    the middle half; None where none was."""
    best = min(left, key=lambda each: each.middle, default=None)
    if best is None or best.middle >= usual.middle:
        return None
    slow = _quarter(sorted(best.seconds, reverse=True))
    return best if slow < _quarter(sorted(usual.seconds)) else None


def _quarter(ordered: Sequence[float]) -> float:
    """The value at a quarter of the way from the first."""
    return ordered[len(ordered) // 4]
