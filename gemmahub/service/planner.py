"""The use case: what other settings of a model would take, answered again and again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gemmahub.memory import ON_DEVICES, Placement
from gemmahub.text.command import command_line, command_to_run

if TYPE_CHECKING:
    from gemmahub.hardware.records import Machine
    from gemmahub.memory import ImageMemory, MachineMemory, MemoryModel, MemoryPlan, MemorySettings
    from gemmahub.planning import Plan
    from gemmahub.planning.recommending import Recommendation
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation

_LEAST: Final = 1024
_BATCH: Final = 512  # gemmahub's backend makes a batch as long as a ubatch


@dataclass(slots=True)
class Planner:
    """A variant on a machine, planned by formula as often as wanted: about a millisecond each.

    ``placement`` says what of it lies on the accelerators.
    """

    variant: Variant
    model: MemoryModel
    machine: MachineMemory
    images: ImageMemory | None = None
    placement: Placement = ON_DEVICES
    _largest: dict[str, int] = field(default_factory=dict)

    @property
    def trained_context(self) -> int:
        """Tokens that the model was trained for, 0 where it does not say."""
        return self.model[0].context_length

    def largest_context(self, cache_type: str) -> int:
        """The largest context that fits with that cache, 0 if none does."""
        from gemmahub.memory import largest_context

        if cache_type not in self._largest:
            architecture, weights = self.model
            settings = self._settings(_LEAST, cache_type)
            self._largest[cache_type] = largest_context(
                architecture, weights, settings, self.machine
            )
        return self._largest[cache_type]

    def plan(self, context: int, cache_type: str = "f16") -> Plan:
        """What these settings take."""
        from gemmahub.planning import Plan

        return Plan(
            variant=self.variant,
            memory=self.memory(context, cache_type),
            largest_context=self.largest_context(cache_type),
            trained_context=self.trained_context,
            images=self.images,
        )

    def memory(self, context: int, cache_type: str = "f16") -> MemoryPlan:
        """The memory alone."""
        from gemmahub.memory import plan_memory

        architecture, weights = self.model
        settings = self._settings(context, cache_type)
        return plan_memory(architecture, weights, settings, self.machine)

    def steps(self, cache_type: str) -> tuple[int, ...]:
        """Contexts worth choosing: powers of two and their middles from 1,024 to the trained
        context, and the largest that fits."""
        top = self.trained_context or 131_072
        found = {top}
        power = _LEAST
        while power <= top:
            found |= {power, min(top, power * 3 // 2)}
            power *= 2
        if largest := self.largest_context(cache_type):
            found.add(min(top, largest))
        return tuple(sorted(found))

    def command(self, context: int, cache_type: str = "f16") -> str:
        """The command line that runs it with these settings, and gets it before where it is not
        here; as a POSIX shell takes it."""
        reference = self.variant.reference
        run = command_to_run(reference, context, cache_type, **self.placement.options)
        return run if self.variant.runnable else f"{command_line('pull', reference)} && {run}"

    def _settings(self, context: int, cache_type: str) -> MemorySettings:
        from gemmahub.memory import MemorySettings

        settings = MemorySettings(context, cache_type, cache_type, batch=_BATCH)
        return settings.placed(self.placement)


def planner_for(
    here: Installation,
    variant: Variant,
    machine: Machine,
    recommendation: Recommendation | None = None,
) -> Planner:
    """The planner of a variant on a machine, placed as it is recommended.

    Raises: GemmahubError when the memory of the model or of the machine is not known.
    """
    from gemmahub.planning import images_of, model_of
    from gemmahub.planning.model import places_of

    catalog, places = here.registry.catalog, [each.machine for each in places_of(machine)]
    place = next(
        (p for p in places if recommendation and p.names == recommendation.plan.devices), places[0]
    )
    placement = recommendation.plan.placement if recommendation else ON_DEVICES
    model = model_of(variant, catalog)
    return Planner(variant, model, place, images_of(variant, catalog), placement)
