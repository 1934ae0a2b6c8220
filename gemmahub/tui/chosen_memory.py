"""What rows take at the context and with the cache type that a person chose, planned on sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError
from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.service.plans import DEFAULT_CONTEXT

if TYPE_CHECKING:
    from gemmahub.hardware.records import Machine
    from gemmahub.memory import MemoryPlan
    from gemmahub.service import Library
    from gemmahub.service.overview import ModelRow

_LARGEST = 131_072  # tokens, of a model that does not say what it was trained for


def recommended_settings(row: ModelRow, trained_context: int) -> tuple[int, str]:
    """The recommended context and cache type, else those of ``gemmahub run``."""
    if row.recommendation is not None:
        settings = row.recommendation.plan.settings
        return settings.context, settings.cache_type_k
    return min(trained_context or DEFAULT_CONTEXT, DEFAULT_CONTEXT), USUAL_CACHE_TYPES[0]


class ChosenMemory:
    """Plans of rows, each made once. ``context`` and ``cache_type`` are None as long as nothing
    was chosen: then each row has its recommended settings."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._plans: dict[str, MemoryPlan | None] = {}
        self.context: int | None = None
        self.cache_type: str | None = None

    def choose(self, context: int | None, cache_type: str | None) -> bool:
        """Whether that is another choice than before."""
        if (context, cache_type) == (self.context, self.cache_type):
            return False
        self.context, self.cache_type = context, cache_type
        self.forget()
        return True

    def forget(self) -> None:
        """Another machine, or other rows."""
        self._plans.clear()

    def of(self, row: ModelRow, machine: Machine | None) -> MemoryPlan | None:
        """The plan of a row; None where it is not known."""
        if machine is None or (self.context is None and self.cache_type is None):
            return row.memory
        reference = row.variant.reference
        if reference not in self._plans:
            self._plans[reference] = self._planned(row, machine)
        return self._plans[reference]

    def _planned(self, row: ModelRow, machine: Machine) -> MemoryPlan | None:
        from gemmahub.service.planner import planner_for

        try:
            planner = planner_for(self._library, row.variant, machine, row.recommendation)
            trained = planner.trained_context
            context, cache = recommended_settings(row, trained)
            wanted = context if self.context is None else self.context
            return planner.memory(min(wanted, trained or _LARGEST), self.cache_type or cache)
        except (GemmahubError, OSError):
            return row.memory
