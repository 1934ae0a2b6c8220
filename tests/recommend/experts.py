"""What experienced users would run (``experts.toml``), and what is ranked for the same machines."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

from gemmahub.catalog.loader import load_catalog
from gemmahub.memory import DeviceMemory, MachineMemory
from gemmahub.planning.candidates import candidates_of
from gemmahub.recommend.goals import Requirements
from gemmahub.recommend.ranking import Ranking, recommend
from gemmahub.recommend.records import Candidate, DevicePlace
from gemmahub.recommend.speed import Bandwidths

GIB: Final = 1 << 30
TABLE: Final = tomllib.loads(Path(__file__).with_name("experts.toml").read_text("utf-8"))
MACHINES: Final[list[dict[str, Any]]] = TABLE["machine"]
PROBED: Final[dict[str, dict[str, Any]]] = {found["name"]: found for found in TABLE["probed"]}
SIMULATED: Final[list[dict[str, Any]]] = TABLE["simulated"]


@cache
def candidates() -> tuple[Candidate, ...]:
    """What the catalogue knows."""
    return tuple(candidates_of([], load_catalog()))


def place_of(machine: dict[str, Any]) -> DevicePlace:
    """The devices and the memory of a ``[[machine]]``."""
    devices = tuple(
        DeviceMemory(
            f"gpu:{number}",
            found["kind"],
            int(found["free"] * GIB),
            int(found["free"] * GIB),
            unified=found.get("unified", False),
        )
        for number, found in enumerate(machine["devices"])
    )
    host = int(machine["system"]["free"] * GIB)
    rates = tuple(int(found["bandwidth"] * 1e9) for found in machine["devices"])
    return DevicePlace(
        MachineMemory(devices, host, host),
        Bandwidths(rates, int(machine["system"]["bandwidth"] * 1e9)),
    )


def choice(machine: dict[str, Any], use: str) -> Ranking:
    """What is ranked for a ``[[machine]]``."""
    return recommend(candidates(), (place_of(machine),), Requirements(use))
