"""What to run on a machine: a ranking of plans, each with the variant that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.engines.option_values import DEVICES_OPTION, device_options
from gemmahub.errors import DoesNotFit, NotFound
from gemmahub.hardware.records import REMOTE
from gemmahub.memory import Placement
from gemmahub.planning.candidates import candidates_of
from gemmahub.planning.devices import told, without_workers, workers_of
from gemmahub.planning.model import places_of
from gemmahub.recommend.alternatives import reasons_of
from gemmahub.recommend.explanation import explanation_lines, explanation_of
from gemmahub.recommend.goals import Requirements
from gemmahub.recommend.ranking import recommend
from gemmahub.recommend.records import NOTHING_MEASURED, speeds_json
from gemmahub.text import format_gib, nearest, one_line
from gemmahub.text.command import command_to_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gemmahub.catalog.records import Model
    from gemmahub.engines.contract import Backend
    from gemmahub.hardware.records import Machine
    from gemmahub.recommend.explanation import ScorePart
    from gemmahub.recommend.ranking import Ranking
    from gemmahub.recommend.records import Measured, ScoredPlan
    from gemmahub.registry.registry import Registry
    from gemmahub.registry.variants import Variant


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A variant with the settings that suit it best on a machine, and why, in sentences.

    ``rank`` is 1 for the best. ``largest_context`` in tokens would fit with the other settings.
    ``devices`` are the addresses of the GPUs that an engine has to be told to use; None where it
    uses those of the plan untold. ``workers`` are those of other machines, ``HOST:PORT``.
    ``parts`` explain its score.
    """

    variant: Variant
    plan: ScoredPlan
    rank: int
    largest_context: int
    reasons: tuple[str, ...]
    devices: tuple[str, ...] | None = None
    workers: tuple[str, ...] = ()
    parts: tuple[ScorePart, ...] = ()

    @property
    def command(self) -> str:
        """What runs it with the settings of the plan."""
        settings = self.plan.settings
        chosen = ",".join(self.devices or ())
        return command_to_run(
            self.variant.reference,
            settings.context,
            settings.cache_type_k,
            **self._placement.options,
            option=f"{DEVICES_OPTION}={chosen}" if chosen else None,
            rpc=",".join(self.workers),
        )

    @property
    def explained(self) -> list[tuple[str, str, str]]:
        """Its score in lines for people: name, points and words of each part, last the sum."""
        return explanation_lines(self.parts)

    @property
    def _placement(self) -> Placement:
        """That of the plan, and no layers on GPUs that it leaves alone."""
        return Placement(gpu_layers=0) if self.devices == () else self.plan.placement

    @property
    def summary(self) -> str:
        """What a person hears who gave a name without a variant."""
        plan, precision = self.plan, self.variant.precision
        bits = precision.bits_per_weight
        places = " + ".join(
            format_gib(place.free_bytes) for place in plan.memory.places if place.total_bytes
        )
        return (
            f"{precision.short}, {'? ' if bits is None else f'{bits:.2f} '}bits/weight, "
            f"{plan.settings.context:,} tokens (fits {places})"
        )

    @property
    def session_settings(self) -> dict[str, Any]:
        """What the engine is told of the plan, by the names of the contract's settings."""
        settings = self.plan.settings
        return {
            "context": settings.context,
            "cache_type_k": settings.cache_type_k,
            "cache_type_v": settings.cache_type_v,
            **self._placement.options,
        }

    def options(self, backend: Backend) -> dict[str, str]:
        """What the backend's own options have to be for the devices of the plan."""
        return device_options(backend, self.devices)

    def as_json(self) -> dict[str, Any]:
        """An entry of ``recommendations`` in ``gemmahub recommend --json``."""
        plan, memory, speed = self.plan, self.plan.memory.as_json(), self.plan.speed
        return {
            "rank": self.rank,
            "reference": self.variant.reference,
            "name": self.variant.name,
            "precision": self.variant.precision.as_json(),
            "settings": memory["settings"],
            "placement": memory["placement"],
            "memory": memory["memory"],
            "headroom_bytes": plan.memory.headroom_bytes,
            "largest_context": self.largest_context,
            **speeds_json(plan),
            "speed_basis": "unknown bandwidth" if speed is None else speed.basis,
            **plan.quality.as_json(),
            "points": round(plan.points, 2),
            "score": plan.score.as_json(),
            "explanation": [part.as_json() for part in self.parts],
            "usable": plan.usable,
            "room_on_disk": plan.storable,
            "reasons": list(self.reasons),
            "installed": bool(self.variant.artifacts),
            "command": self.command,
        }


def recommendations(
    registry: Registry,
    machine: Machine,
    wanted: Requirements,
    measured: Measured = NOTHING_MEASURED,
) -> tuple[Recommendation, ...]:
    """What to run on ``machine``, the best first; at least one.

    Raises: NotFound when there is nothing to choose from; DoesNotFit when nothing fits;
    GemmahubError where the memory of the machine is not known.
    """
    ranking = ranked(registry, machine, wanted, measured)
    return recommended(ranking, machine, registry.known, wanted.limit)


def recommended(
    ranking: Ranking, machine: Machine, known: Callable[[str], Variant], limit: int | None = None
) -> tuple[Recommendation, ...]:
    """The best plans of a ranking for ``machine``, each with its variant (``known`` by reference)
    and the reasons."""
    found = []
    for number, plan in enumerate(ranking.plans[:limit]):
        largest = ranking.largest_context(plan)
        reasons = reasons_of(ranking, number, largest)
        variant = known(plan.candidate.reference)
        used = _used_part(machine, plan.devices)
        devices, workers = told(used, plan.devices), workers_of(used)
        parts = explanation_of(plan, largest, ranking.choosers[0].wanted)
        found.append(
            Recommendation(variant, plan, number + 1, largest, reasons, devices, workers, parts)
        )
    return tuple(found)


def _used_part(machine: Machine, devices: Sequence[str]) -> Machine:
    """The machine without its workers where a plan uses none of them."""
    remote = {device.id for device in machine.devices if device.api == REMOTE}
    return machine if remote & set(devices) else without_workers(machine)


def ranked(
    registry: Registry,
    machine: Machine,
    wanted: Requirements,
    measured: Measured = NOTHING_MEASURED,
    more: Iterable[Variant] = (),
) -> Ranking:
    """What is installed, what the catalogue knows and ``more``, ranked; as far as it is ``wanted``.

    Raises: as :func:`recommendations`.
    """
    model = None if wanted.model is None else known_model(registry, wanted.model)
    candidates = candidates_of(
        (*registry.installed().variants, *more),
        registry.catalog,
        measured,
        models=None if model is None else (model,),
    )
    if wanted.installed:
        candidates = [candidate for candidate in candidates if candidate.installed]
    if not candidates:
        what = "no installed variant" if wanted.installed else "no variant with known tensor types"
        raise NotFound(
            f"there is {what}{f' of {model.name}' if model else ''} to recommend",
            "gemmahub list --all shows the catalogue",
        )
    return recommend(candidates, places_of(machine), wanted, free_on_disk(machine))


def free_on_disk(machine: Machine) -> int | None:
    """Bytes that are free where pulls go; of a simulated machine nobody knows."""
    return None if machine.simulated or not machine.disks else machine.disks[0].free.value


def best_of(
    registry: Registry, model: str, machine: Machine, measured: Measured = NOTHING_MEASURED
) -> Recommendation | None:
    """What a model's name without a variant means here: the best installed one, else the best.

    None where nothing fits or nothing is known well enough.
    """
    for installed in (True, False):
        wanted = Requirements(model=model, installed=installed, limit=1)
        try:
            return recommendations(registry, machine, wanted, measured)[0]
        except (NotFound, DoesNotFit):
            continue
    return None


def known_model(registry: Registry, name: str) -> Model:
    """The catalogue's model of that name.

    Raises: NotFound with the nearest names.
    """
    model = registry.catalog.model(name)
    if model is not None:
        return model
    near = nearest(name, [known.name for known in registry.catalog.models])
    raise NotFound(
        f"the catalogue has no model {one_line(name)!r}",
        f"did you mean {', '.join(near)}?" if near else "gemmahub list --all shows the catalogue",
    )
