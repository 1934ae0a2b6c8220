"""The mix of types in a model: tensors counted by role and type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmahub.formats.tensor import UNKNOWN_PACKING
from gemmahub.precision.roles import EMBEDDING, PER_LAYER_EMBEDDING, ROLES, tensor_role
from gemmahub.precision.training import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.formats.tensor import Tensor


@dataclass(frozen=True, slots=True)
class MixEntry:
    """All tensors of one role and one type. ``bytes`` is None when the type's size is not known."""

    role: str
    type: str
    tensors: int
    parameters: int
    bytes: int | None


def mix_of(tensors: Iterable[Tensor]) -> tuple[MixEntry, ...]:
    """Tensors counted by role and type, in the order of the roles, the largest share first."""
    return mix_of_counted((tensor, 1) for tensor in tensors)


def mix_of_counted(tensors: Iterable[tuple[Tensor, int]]) -> tuple[MixEntry, ...]:
    """The same where a tensor stands for several that are alike."""
    found: dict[tuple[str, str], tuple[int, int, int | None]] = {}
    for tensor, times in tensors:
        key = tensor_role(tensor.name), tensor.type
        count, parameters, size = found.get(key, (0, 0, 0))
        more = None if tensor.bytes is None else times * tensor.bytes
        found[key] = count + times, parameters + times * tensor.parameters, add_sizes(size, more)
    entries = (MixEntry(role, type_, *sums) for (role, type_), sums in found.items())
    return tuple(sorted(entries, key=lambda e: (ROLES.index(e.role), -e.parameters, e.type)))


def add_sizes(total: int | None, size: int | None) -> int | None:
    """A sum in which an unknown part makes the whole unknown."""
    return None if total is None or size is None else total + size


def total_parameters(mix: Sequence[MixEntry]) -> int:
    """Number of weights."""
    return sum(entry.parameters for entry in mix)


def total_bytes(mix: Sequence[MixEntry]) -> int | None:
    """Bytes of all tensors, None if one of them is of unknown size."""
    total: int | None = 0
    for entry in mix:
        total = add_sizes(total, entry.bytes)
    return total


def parameters_by_type(mix: Iterable[MixEntry]) -> dict[str, int]:
    """Number of weights of each type, the largest first."""
    sums: dict[str, int] = {}
    for entry in mix:
        sums[entry.type] = sums.get(entry.type, 0) + entry.parameters
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def unknown_packing(mix: Iterable[MixEntry]) -> str | None:
    """The type of weights that are packed in a way that nobody here knows; None without such."""
    return next((e.type for e in mix if e.type.startswith(UNKNOWN_PACKING)), None)


def main_type(mix: Sequence[MixEntry]) -> str:
    """The type of most weights outside the embeddings: what the quantizer was asked for.

    Words of which nobody knows how many weights they hold are taken for most of them.
    """
    return unknown_packing(mix) or next(iter(parameters_by_type(outside_embeddings(mix))), UNKNOWN)


def outside_embeddings(mix: Sequence[MixEntry]) -> Sequence[MixEntry]:
    """The entries of no embedding; all, where there are no others."""
    return [e for e in mix if e.role not in (EMBEDDING, PER_LAYER_EMBEDDING)] or mix
