"""What to run on a machine: recommendations joined with their variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.errors import DoesNotFit, NotFound
from gemmahub.planning.candidates import bandwidths_of, candidates_of
from gemmahub.planning.model import machine_of
from gemmahub.recommend import recommend, speed_text
from gemmahub.text import format_gib, nearest, one_line
from gemmahub.text.command import command_to_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.catalog.records import Model
    from gemmahub.hardware.records import Machine
    from gemmahub.recommend import Recommendation, Wish
    from gemmahub.registry.registry import Registry
    from gemmahub.registry.variants import Variant


@dataclass(frozen=True, slots=True)
class Advised:
    """A recommendation and the variant that it names."""

    recommendation: Recommendation
    variant: Variant

    @property
    def command(self) -> str:
        """What runs it with the settings of the plan."""
        choice = self.recommendation.choice
        settings = choice.settings
        layers = len(choice.candidate.architecture.layers) + 1
        split = len(choice.plan.places) > 1 and choice.plan.gpu_layers < layers
        return command_to_run(
            self.variant.reference,
            settings.context,
            settings.cache_type_k,
            choice.plan.gpu_layers if split else None,
        )

    @property
    def said(self) -> str:
        """What is said aloud where a name without a variant was given."""
        choice, precision = self.recommendation.choice, self.variant.precision
        bits = precision.bits_per_weight
        places = " + ".join(
            format_gib(place.free_bytes) for place in choice.plan.places if place.total_bytes
        )
        return (
            f"{precision.short}, {'? ' if bits is None else f'{bits:.2f} '}bits/weight, "
            f"{choice.settings.context:,} tokens (fits {places})"
        )

    @property
    def session_settings(self) -> dict[str, Any]:
        """What the engine is told of the plan, by the names of the contract's settings."""
        plan = self.recommendation.choice.plan
        layers = len(self.recommendation.choice.candidate.architecture.layers) + 1
        return {
            "context": plan.settings.context,
            "cache_type_k": plan.settings.cache_type_k,
            "cache_type_v": plan.settings.cache_type_v,
            "gpu_layers": None if plan.gpu_layers == layers else plan.gpu_layers,
        }

    def as_json(self) -> dict[str, Any]:
        """One entry of the contract's ``recommendations``."""
        choice = self.recommendation.choice
        plan, speed = choice.plan.as_json(), choice.speed
        return {
            "rank": self.recommendation.rank,
            "reference": self.variant.reference,
            "name": self.variant.name,
            "precision": self.variant.precision.as_json(),
            "settings": plan["settings"],
            "memory": plan["memory"],
            "headroom_bytes": choice.plan.headroom_bytes,
            "largest_context": self.recommendation.largest_context,
            "tokens_per_second": None if speed is None else round(speed.likely, 2),
            "tokens_per_second_low": None if speed is None else round(speed.low, 2),
            "tokens_per_second_high": None if speed is None else round(speed.high, 2),
            "speed_basis": "unknown bandwidth" if speed is None else speed.basis,
            "quality": choice.quality.score,
            "quality_loss": round(choice.quality.loss.share, 4),
            "quality_basis": choice.quality.as_text(),
            "points": round(choice.points, 2),
            "reasons": list(self.recommendation.reasons),
            "installed": bool(self.variant.artifacts),
            "command": self.command,
        }


@dataclass(frozen=True, slots=True)
class Advice:
    """The recommendations for a machine."""

    machine: Machine
    entries: tuple[Advised, ...]

    def as_json(self) -> dict[str, Any]:
        """The contract's object of ``gemmahub recommend --json``."""
        return {
            "machine": self.machine.as_json(),
            "recommendations": [entry.as_json() for entry in self.entries],
        }


def advise(
    registry: Registry,
    machine: Machine,
    wish: Wish,
    *,
    measured: Mapping[str, float],
    model: Model | None = None,
    installed_only: bool = False,
    limit: int | None = None,
) -> Advice:
    """What to run on ``machine``, of all models or of one.

    Raises: NotFound when there is nothing to choose from; DoesNotFit when nothing fits.
    """
    installed = registry.installed().variants
    candidates = candidates_of(
        installed, registry.catalog, measured, models=None if model is None else (model,)
    )
    if installed_only:
        candidates = [candidate for candidate in candidates if candidate.installed]
    if not candidates:
        what = "no installed variant" if installed_only else "no variant with a known composition"
        raise NotFound(
            f"there is {what}{f' of {model.name}' if model else ''} to recommend",
            "gemmahub list --all shows the catalogue",
        )
    bandwidths, source = bandwidths_of(machine)
    ranking = recommend(candidates, machine_of(machine), wish, bandwidths, source)
    entries = tuple(
        Advised(found, registry.resolve(found.choice.candidate.reference))
        for found in ranking.recommendations(limit)
    )
    return Advice(machine, entries)


def advised_variant(
    registry: Registry,
    model: Model,
    machine: Machine,
    wish: Wish,
    *,
    measured: Mapping[str, float],
) -> Advised | None:
    """What a name without a variant means here: the best installed one, else the best of all.

    None where nothing fits or nothing is known well enough.
    """
    for installed_only in (True, False):
        try:
            advice = advise(
                registry,
                machine,
                wish,
                measured=measured,
                model=model,
                installed_only=installed_only,
                limit=1,
            )
        except (NotFound, DoesNotFit):
            continue
        return advice.entries[0]
    return None


def wanted_model(registry: Registry, name: str) -> Model:
    """The catalogue's model of that name.

    Raises: NotFound with the nearest names.
    """
    model = registry.catalog.model(name)
    if model is not None:
        return model
    names = [known.name for known in registry.catalog.models]
    near = nearest(name, names)
    raise NotFound(
        f"the catalogue has no model {one_line(name)!r}",
        f"did you mean {', '.join(near)}?" if near else "gemmahub list --all shows the catalogue",
    )


__all__ = ["Advice", "Advised", "advise", "advised_variant", "speed_text", "wanted_model"]
