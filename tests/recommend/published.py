"""Published speeds (``published_speeds.toml``) beside what is estimated for the same machines."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmahub.catalog.loader import load_catalog
from gemmahub.memory import DeviceMemory, MachineMemory, MemorySettings, plan_memory
from gemmahub.planning.candidates import candidates_of
from gemmahub.recommend.prompt import OperationRates, Wait, wait_for
from gemmahub.recommend.speed import (
    FILLED,
    Bandwidths,
    MemoryTraffic,
    Speed,
    estimate,
    traffic_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory import MemoryPlan
    from gemmahub.recommend.records import Candidate

TABLE = Path(__file__).parent / "published_speeds.toml"
PLENTY = 1 << 40


@dataclass(frozen=True, slots=True)
class Published:
    """A published speed in tokens a second, and what our estimate of it depends on."""

    machine: str
    variant: str
    speed: float
    traffic: MemoryTraffic
    bandwidths: Bandwidths

    @property
    def estimate(self) -> Speed:
        found = estimate(self.traffic, self.bandwidths, None)
        assert found is not None
        return found

    @property
    def error(self) -> float:
        """The logarithm of measured / likely."""
        return log(self.speed / self.estimate.likely)

    @property
    def inside(self) -> bool:
        return self.estimate.low <= self.speed <= self.estimate.high


@cache
def variants() -> dict[str, Candidate]:
    return {found.reference: found for found in candidates_of([], load_catalog())}


def machine_with(*interfaces: str) -> MachineMemory:
    """A machine with much memory everywhere; interfaces are keys of ``speed_figures.PLACES``."""
    devices = tuple(
        DeviceMemory(
            f"gpu:{number}",
            name.partition(" ")[0],  # type: ignore[arg-type]
            PLENTY,
            PLENTY,
            unified=name.endswith(" unified"),
        )
        for number, name in enumerate(interfaces)
    )
    return MachineMemory(devices, PLENTY, PLENTY)


def published() -> list[Published]:
    return [_published(row) for row in tomllib.loads(TABLE.read_text("utf-8"))["row"]]


def _published(row: dict[str, Any]) -> Published:
    devices = row.get("devices", [])
    _, traffic = planned(row["variant"], [name for name, _ in devices], row.get("filled", FILLED))
    return Published(
        machine=row["machine"],
        variant=row["variant"],
        speed=row["speed"],
        traffic=traffic,
        bandwidths=Bandwidths(
            tuple(round(rate * 1e9) for _, rate in devices),
            round(row["host"] * 1e9) if "host" in row else None,
        ),
    )


def planned(
    variant: str, interfaces: Sequence[str], filled: int = FILLED, **settings: Any
) -> tuple[MemoryPlan, MemoryTraffic]:
    """The plan of a catalogued variant on these interfaces, and what a token costs."""
    machine, candidate = machine_with(*interfaces), variants()[variant]
    chosen = MemorySettings(**{"context": max(filled, 16_384)} | settings)
    plan = plan_memory(candidate.architecture, candidate.weights, chosen, machine)
    return plan, traffic_of(candidate.architecture, candidate.weights, plan, machine, filled)


@dataclass(frozen=True, slots=True)
class PublishedPrompt:
    """At how many tokens a second a prompt was read, and how long that would take by estimate."""

    machine: str
    variant: str
    tokens: int
    speed: float
    wait: Wait

    @property
    def inside(self) -> bool:
        return self.wait.low <= self.tokens / self.speed <= self.wait.high

    @property
    def error(self) -> float:
        """The logarithm of measured / likely tokens a second."""
        return log(self.speed * self.wait.likely / self.tokens)


def published_prompts() -> list[PublishedPrompt]:
    return [_prompt(row) for row in tomllib.loads(TABLE.read_text("utf-8"))["prompt"]]


def _prompt(row: dict[str, Any]) -> PublishedPrompt:
    devices, tokens = row["devices"], row["tokens"]
    plan, traffic = planned(row["variant"], [name for name, _ in devices])
    wait = wait_for(
        tokens,
        variants()[row["variant"]].architecture,
        plan,
        traffic,
        Bandwidths((None,) * len(devices), None),
        OperationRates(tuple(round(rate * 1e12) for _, rate in devices)),
    )
    assert wait is not None
    return PublishedPrompt(row["machine"], row["variant"], tokens, row["speed"], wait)
