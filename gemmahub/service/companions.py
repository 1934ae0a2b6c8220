"""What lies here beside models and belongs to one: projectors, draft heads, adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gemmahub.registry.variants import Models, Variant


class Companion(NamedTuple):
    """A file that belongs to a model: its name, its kind as in
    :data:`gemmahub.formats.kinds.WHAT`, and its size in bytes where it was read."""

    name: str
    kind: str
    size_bytes: int | None = None


def owned(models: Models) -> list[tuple[Variant, Variant | None]]:
    """What lies here beside models, each with the model that it belongs to."""
    from gemmahub.registry.companions import owner_of

    return [(each, owner_of(each, models.variants)) for each in models.companions]


def companions_of(
    variant: Variant, beside: Iterable[tuple[Variant, Variant | None]]
) -> tuple[Companion, ...]:
    """What belongs to a model, of what :func:`owned` found: its projector is the first."""
    from gemmahub.formats.kinds import PROJECTOR

    named = {
        place.path: Companion(each.artifacts[0].path.name, each.kind, each.size_bytes)
        for each, owner in beside
        if owner is variant
        for place in each.artifacts
    }
    own = [place.projector for place in variant.artifacts if place.projector]
    plain = (Companion(path.name, PROJECTOR, _size_of(path)) for path in own if path not in named)
    return tuple(dict.fromkeys((*plain, *named.values())))


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
