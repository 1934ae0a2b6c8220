"""A model at another precision: what is asked of an engine, and what it says of what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Quantization:
    """What a model is to become: ``label`` is what most tensors are stored as (``Q4_0``); with ""
    each stays as it is, byte for byte, but those of ``types``.

    ``target`` is the file or folder to be written, which does not exist yet. ``types`` are
    exceptions, type by tensor name. ``importance`` is an importance matrix. ``metadata`` are texts
    that the file is to carry, by key, each of 127 bytes at most. ``lattice``: the weights were
    trained for the type, so scales are sought on which they lie, where the engine can.
    """

    label: str
    target: Path
    types: Mapping[str, str] = field(default_factory=dict)
    importance: Path | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    lattice: bool = False


@dataclass(frozen=True, slots=True)
class Rounding:
    """What rounding did to weights that were trained for a type.

    ``naive`` is the root mean square of the change by the engine's quantizer, as a share of the
    weights' own, ``lattice`` that with the scales that were sought. ``on_lattice`` is the share of
    blocks whose weights are multiples of one scale, but for what 16 bits round.
    """

    type: str
    tensors: int
    weights: int
    naive: float
    lattice: float
    on_lattice: float


@dataclass(frozen=True, slots=True)
class WeightToWrite:
    """A weight as an engine would write it. ``was`` is its type now, ``wanted`` the one that was
    asked for, which is another than ``type`` where its rows cannot have that. ``shape`` is that of
    what is stored, ``parameters`` counts weights, ``bytes`` those of its scales, too."""

    name: str
    type: str
    was: str
    wanted: str
    shape: tuple[int, ...]
    parameters: int
    bytes: int


@dataclass(frozen=True, slots=True)
class DryQuantization:
    """What an engine would write: all weights, and the size in bytes of each file with them, by
    its name in the target's folder."""

    weights: tuple[WeightToWrite, ...]
    files: Mapping[str, int]
