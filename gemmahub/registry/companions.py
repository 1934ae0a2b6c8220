"""What lies beside models and is none by itself: whose it is, as far as files and names tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.formats.kinds import ADAPTER, DRAFTER, MODELS, MODULE, PROJECTOR
from gemmahub.precision.labels import model_sizes
from gemmahub.stores.companions import best_fitting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gemmahub.registry.variants import Variant

_PROJECTED: Final = "clip.vision.projection_dim"


def parted(found: Iterable[Variant]) -> tuple[list[Variant], list[Variant]]:
    """The models, and what is none. A model has the projector of its folder that fits, also where
    no name says that it is one."""
    everything = list(found)
    others = [variant for variant in everything if variant.kind not in MODELS]
    projectors: dict[Path, list[Path]] = {}
    for variant in others:
        if variant.kind == PROJECTOR:
            for place in variant.artifacts:
                projectors.setdefault(place.path.parent, []).append(place.path)
    models = [variant for variant in everything if variant.kind in MODELS]
    return [_with_projector(model, projectors) for model in models], others


def owner_of(companion: Variant, models: Sequence[Variant]) -> Variant | None:
    """The model that a companion belongs to: in its folder, the folder above, or its repository.
    Of several the one of its width, else of the size in its name and the most words in common; None
    where that leaves it open, or for what belongs to no model here."""
    if companion.kind == MODULE:
        above = {place.path.parent for place in companion.artifacts}
        return next((m for m in models if above & {place.path for place in m.artifacts}), None)
    if companion.kind not in (DRAFTER, PROJECTOR, ADAPTER):
        return None
    near = [model for model in models if _beside(companion, model)]
    ranked = sorted(((_likeness(companion, model), model.reference, model) for model in near),
                    key=lambda each: each[:2], reverse=True)  # fmt: skip
    if not ranked or (len(ranked) > 1 and not any(ranked[0][0][:2])):
        return None
    return ranked[0][-1]


def _with_projector(model: Variant, projectors: dict[Path, list[Path]]) -> Variant:
    if model.format != "gguf" or any(place.projector for place in model.artifacts):
        return model
    places = tuple(
        replace(place, projector=best_fitting(place.path, projectors.get(place.path.parent, ())))
        for place in model.artifacts
    )
    if not any(place.projector for place in places):
        return model
    takes = dict.fromkeys((*model.capabilities[:1], "image", *model.capabilities[1:]))
    return replace(model, artifacts=places, capabilities=tuple(takes))


def _beside(companion: Variant, model: Variant) -> bool:
    folders = {f for p in companion.artifacts for f in (p.path.parent, p.path.parent.parent)}
    sources = {place.repository for place in companion.artifacts if place.repository}
    return any(p.path.parent in folders or p.repository in sources for p in model.artifacts)


def _likeness(companion: Variant, model: Variant) -> tuple[bool, bool, int]:
    one, other = (each.artifacts[0].path.stem.lower() for each in (companion, model))
    words = set(one.split("-")) & set(other.split("-"))
    return _fits(companion, model) is True, bool(model_sizes(one) & model_sizes(other)), len(words)


def _fits(companion: Variant, model: Variant) -> bool | None:
    """Whether the widths agree; None where they are not said."""
    keys = companion.header.metadata if companion.header else {}
    named = (f"{companion.architecture.get('name')}.embedding_length_out", _PROJECTED)
    width = next((keys[name] for name in named if name in keys), None)
    own = model.architecture.get("embedding_length")
    return None if width is None or own is None else width == own
