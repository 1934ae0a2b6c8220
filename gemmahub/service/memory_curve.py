"""The use case: a model's memory against its context, one line for each cache type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.text.plot import Line, Plot

if TYPE_CHECKING:
    from gemmahub.planning import Plan
    from gemmahub.service.installation import Installation
    from gemmahub.service.planner import Planner
    from gemmahub.service.plans import PlanOptions


@dataclass(frozen=True, slots=True)
class MemoryCurve:
    """What the tightest place holds at each of the ``contexts`` in tokens, bytes, by cache type;
    ``free_bytes`` of it are free. ``device`` is that place."""

    device: str
    free_bytes: int
    contexts: tuple[int, ...]
    totals: dict[str, tuple[int, ...]]

    def plot(self, cache_type: str, context: int, styles: dict[str, str] | None = None) -> Plot:
        """As lines, with a point for a cache type and a context, the nearest below it."""
        names = list(self.totals)
        at = max(0, sum(step <= context for step in self.contexts) - 1)
        lines = [
            Line(name, tuple(map(float, values)), (styles or {}).get(name, ""))
            for name, values in self.totals.items()
        ]
        chosen = names.index(cache_type) if cache_type in names else 0
        return Plot(lines, float(self.free_bytes), chosen, at)


def memory_curve(planner: Planner, cache_type: str) -> MemoryCurve:
    """The curve of a model; its contexts are those of the slider with that cache type."""
    contexts = planner.steps(cache_type)
    plans = {
        name: [planner.memory(context, name) for context in contexts] for name in USUAL_CACHE_TYPES
    }
    last = plans[cache_type if cache_type in plans else USUAL_CACHE_TYPES[0]][-1]
    tightest = max(
        range(len(last.places)),
        key=lambda n: last.places[n].total_bytes / max(1, last.places[n].free_bytes),
    )
    place = last.places[tightest]
    return MemoryCurve(
        place.device,
        place.free_bytes,
        contexts,
        {
            name: tuple(plan.places[tightest].total_bytes for plan in found)
            for name, found in plans.items()
        },
    )


def planned_curve(here: Installation, plan: Plan, options: PlanOptions) -> MemoryCurve:
    """The curve of a plan, on the machine that it was made for.

    Raises: GemmahubError where the memory of the model or of the machine is not known.
    """
    from gemmahub.service.planner import planner_for
    from gemmahub.service.plans import planned_machine

    planner = planner_for(here, plan.variant, planned_machine(here, options))
    planner.placement = plan.memory.placement
    return memory_curve(planner, plan.memory.settings.cache_type_k)
