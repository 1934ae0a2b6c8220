"""Published memory bandwidth and arithmetic by device name, from ``datasheet.toml``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from gemmahub.hardware.records import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOISE: Final = re.compile(r"\((?:r|tm)\)|®|™")
_MAKERS: Final = ("nvidia ", "amd ", "intel ")
_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class _Bandwidth:
    """A bandwidth in bytes a second and what tells it apart from others of the same name."""

    rate: int
    source: str
    doubt: str
    gib: int | None = None
    performance_cores: int | None = None


def published_bandwidth(
    name: str | None, memory: int | None = None, performance_cores: int | None = None
) -> Figure | None:
    """What the maker publishes for a device of that name, None where the table has no such device.

    ``memory`` in bytes and ``performance_cores`` choose between variants of one name; where they
    do not decide, the slowest variant is given and the doubt says so.
    """
    entries = _table().get(_normal(name or ""))
    if not entries:
        return None
    fitting = [entry for entry in entries if _fits(entry, memory, performance_cores)]
    slowest = min(fitting or entries, key=lambda entry: entry.rate)
    figure = Figure(slowest.rate, slowest.source, slowest.doubt, "B/s")
    if len(fitting) == 1:
        return figure
    fastest = max(fitting or entries, key=lambda entry: entry.rate)
    return figure.doubted(
        f"the slowest of several variants; the fastest has {fastest.rate / 1e9:g} GB/s"
    )


def published_flops(name: str | None) -> int | None:
    """FP32 operations a second of a device of that name, None where the table does not tell."""
    return _flops().get(_normal(name or ""))


def _fits(entry: _Bandwidth, memory: int | None, performance_cores: int | None) -> bool:
    if entry.gib is not None and memory is not None:
        # Drivers keep some memory for themselves, so a 12 GB card shows 11.6 to 12.0 GiB.
        return entry.gib * 0.9 < memory / _GIB < entry.gib * 1.1
    if entry.performance_cores is not None and performance_cores is not None:
        return entry.performance_cores == performance_cores
    return True


def _normal(name: str) -> str:
    name = " ".join(_NOISE.sub(" ", name.casefold()).split())
    for maker in _MAKERS:
        name = name.removeprefix(maker)
    return name.removesuffix(" graphics")


@cache
def _groups() -> list[dict[str, Any]]:
    import tomllib
    from importlib.resources import files

    text = (files("gemmahub.hardware") / "datasheet.toml").read_text("utf-8")
    groups: list[dict[str, Any]] = tomllib.loads(text)["group"]
    return groups


@cache
def _flops() -> dict[str, int]:
    return {
        _normal(name): round(value * 1e12)
        for group in _groups()
        for name, value in group.get("tflops", {}).items()
    }


@cache
def _table() -> dict[str, tuple[_Bandwidth, ...]]:
    table: dict[str, tuple[_Bandwidth, ...]] = {}
    for group in _groups():
        for name, value in group["bandwidth"].items():
            variants = value if isinstance(value, list) else [{"gbs": value}]
            key = _normal(name)
            if key in table:
                raise ValueError(f"datasheet.toml names {name} twice")
            table[key] = tuple(_entry(group, variant) for variant in variants)
    return table


def _entry(group: Mapping[str, Any], variant: Mapping[str, Any]) -> _Bandwidth:
    return _Bandwidth(
        rate=round(variant["gbs"] * 1e9),
        source=group["source"],
        doubt=group.get("doubt", ""),
        gib=variant.get("gib"),
        performance_cores=variant.get("performance_cores"),
    )
