"""What this machine could do with a build of its engine that uses its GPUs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gemmahub.errors import DoesNotFit, NotFound
from gemmahub.planning.devices import unused_by

if TYPE_CHECKING:
    from gemmahub.hardware.records import Machine
    from gemmahub.planning.recommending import Recommendation
    from gemmahub.recommend.goals import Requirements
    from gemmahub.service import Library


@dataclass(frozen=True, slots=True)
class RightBuild:
    """Devices that the engine cannot use as it is installed, what it would run best with them, and
    how to get the build that can (empty where its plugin does not say)."""

    engine: str
    devices: tuple[str, ...]
    recommendation: Recommendation
    hint: str

    def as_json(self) -> dict[str, Any]:
        """``right_build`` in ``gemmahub recommend --json``."""
        return {
            "engine": self.engine,
            "devices": list(self.devices),
            "hint": self.hint,
            "recommendation": self.recommendation.as_json(),
        }


def right_build(here: Library, wanted: Requirements, machine: Machine) -> RightBuild | None:
    """What a right build would give; None where the engine uses what is here, or would put nothing
    on what it does not use."""
    stated = here.engine_devices(machine)
    if stated is None:
        return None
    engine = stated[0]
    reason = unused_by(engine)
    unused = [device for device in machine.devices if device.unusable == reason]
    if not unused:
        return None
    devices = tuple(
        replace(device, unusable="") if device in unused else device for device in machine.devices
    )
    try:
        best = here.recommend(replace(wanted, limit=1), replace(machine, devices=devices))[0]
    except (DoesNotFit, NotFound):
        return None
    names = tuple(d.name for d in unused if d.id in best.plan.devices)
    return RightBuild(engine, names, best, _hint(here, engine, machine, names)) if names else None


def _hint(here: Library, engine: str, machine: Machine, names: tuple[str, ...]) -> str:
    """What the engine's own check of this machine says to do about the devices."""
    checks = here.plugins_manager.checks(machine)
    own = (c for c in checks if c.name.startswith(engine))
    told = (c.hint for c in own if c.hint and any(name in c.message for name in names))
    return next(told, "run gemmahub doctor for details")
