"""How fast models were on this machine: what ``bench`` measured, else what answers showed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from gemmahub.measurements.records import SpeedResult
from gemmahub.recommend.records import Measured
from gemmahub.recommend.speed import FILLED, SeenSpeed
from gemmahub.service.known_losses import contents_of, known_losses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.hardware.records import Machine
    from gemmahub.measurements.results import Results
    from gemmahub.measurements.speed_log import SpeedLog
    from gemmahub.registry.registry import Registry
    from gemmahub.stores.identity import ContentSums

BENCHED: Final = "measured on this machine by gemmahub bench"
_OTHER_MODEL: Final = ("drafter", "adapters", "remote_workers")


def place_of_plans(machine: Machine) -> Literal["cpu", "gpu"]:
    """Where a recommended plan would put the layers."""
    from gemmahub.planning.devices import default_devices

    return "gpu" if default_devices(machine) else "cpu"


def measured_here(
    machine: Machine, registry: Registry, sums: ContentSums, answers: SpeedLog, results: Results
) -> Measured:
    """Decode speeds and losses by reference; of a machine that is not here no speeds."""
    return Measured(
        known_speeds(machine, registry, sums, answers, results),
        known_losses(results, registry, sums),
    )


def known_speeds(
    machine: Machine, registry: Registry, sums: ContentSums, answers: SpeedLog, results: Results
) -> dict[str, SeenSpeed]:
    """Decode speeds by reference, of what is here; none of another machine.

    What answers showed is known by reference, what ``bench`` measured by the content of the file.
    """
    if machine.simulated:
        return {}
    place = place_of_plans(machine)
    found = {
        reference: SeenSpeed(((FILLED, rate),)) for reference, rate in answers.speeds(place).items()
    }
    if any(isinstance(kept.result, SpeedResult) and not kept.origin for kept in results.kept):
        for variant in registry.installed().variants:
            contents = contents_of(variant, registry.catalog, sums)
            measured = (one for content in contents for one in results.of(SpeedResult, content))
            result = best_result(measured, place)
            if result is not None:
                found[variant.reference] = seen_speed(result)
    return found


def rate_of(seen: SeenSpeed) -> str:
    """Tokens a second where estimates are made, too: with ``FILLED`` tokens in the cache."""
    rate = seen.at(FILLED)
    return f"{rate:.1f}" if rate < 99.95 else f"{rate:,.0f}"


def speed_json(seen: SeenSpeed | None) -> dict[str, object] | None:
    """The object ``measured_speed`` of ``gemmahub list --json``."""
    if seen is None:
        return None
    return {"tokens_per_second": round(seen.at(FILLED), 2), "basis": seen.basis}


def best_result(measured: Iterable[SpeedResult], place: str) -> SpeedResult | None:
    """The fastest of the last results of a model there, one for each way to load it: an experiment
    with one thread is not what the machine can do. None where nothing was measured."""
    last: dict[str, SpeedResult] = {}
    for result in measured:  # the latest first
        given = result.conditions.settings
        if result.conditions.place != place or result.parallel != 1:
            continue
        if any(given.get(name) for name in _OTHER_MODEL) or not _points(result):
            continue
        way = {name: value for name, value in given.items() if name != "context"}
        last.setdefault(f"{result.conditions.engine} {sorted(way.items())}", result)
    return max(last.values(), key=lambda result: seen_speed(result).nearest[1], default=None)


def seen_speed(result: SpeedResult) -> SeenSpeed:
    """The decode speeds of a result that has some."""
    return SeenSpeed(_points(result), BENCHED)


def _points(result: SpeedResult) -> tuple[tuple[int, float], ...]:
    found = [(each.depth, each.decode.median) for each in result.depths if each.decode]
    return tuple(sorted(point for point in found if point[1] > 0))
