"""A plan: a variant, settings and a machine, and the memory that they take. By formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.memory import MemoryPlan, largest_context, plan_memory
from gemmahub.planning.contexts import ContextTotal, context_totals
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import DryLoad
    from gemmahub.memory import ImageMemory, MachineMemory, MemoryModel, MemorySettings
    from gemmahub.planning.verification import Verification
    from gemmahub.registry.variants import Variant


@dataclass(frozen=True, slots=True)
class Plan:
    """A variant on a machine: what it takes, and the largest context that fits with these settings.

    ``contexts`` are the totals of other contexts and cache types, ``largest_contexts`` the largest
    that fit, by cache type; by formula, or with ``contexts_by_engine`` by the engine. ``dry`` is
    the engine's own answer where it was asked, ``verification`` what a real load took. ``images``
    is what images take, ``with_images`` whether that is counted. ``drafter`` is the file
    that drafts, if one is counted. ``remarks`` say where the figures
    are from.
    """

    variant: Variant
    memory: MemoryPlan
    largest_context: int
    trained_context: int
    contexts: tuple[ContextTotal, ...] = ()
    largest_contexts: tuple[tuple[str, int], ...] = ()
    images: ImageMemory | None = None
    with_images: bool = False
    drafter: Path | None = None
    dry: DryLoad | None = None
    verification: Verification | None = None
    contexts_by_engine: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not counted, or counted with doubt."""
        found = [*self.memory.notes, *self.remarks]
        asked = self.memory.settings.context
        if 0 < self.trained_context < asked:
            found.append(
                f"{asked:,} tokens are more than the {self.trained_context:,} that the model "
                "was trained for: expect worse answers"
            )
        found += self._image_notes()
        return (*found, *(self.verification.notes if self.verification else ()))

    def _image_notes(self) -> list[str]:
        if self.images is None:
            image = "image" in self.variant.capabilities
            return ["the image projector is not counted: its size is not known"] if image else []
        buffer, more = self.images.buffer_bytes, self.images.known_bytes
        unknown = "the buffer for one image is not known and not counted"
        if self.with_images:
            return [] if buffer is not None else [unknown]
        parts = (
            unknown
            if buffer is None
            else f"{format_gib(buffer)} of them for computing the largest image"
        )
        return [
            f"images are not included (--image): the projector would add {format_gib(more)}; "
            f"{parts}"
        ]

    def as_json(self) -> dict[str, Any]:
        """The contract's object of ``gemmahub plan --json``."""
        found = self.memory.as_json()
        if self.dry is not None:
            found["basis"] = one_line(self.dry.basis, 80)
            found["engine"] = one_line(self.dry.engine, 80)
            for part in ("kv_cache_bytes", "kv_cache_global_bytes", "kv_cache_window_bytes"):
                found["memory"][part] = getattr(self.dry, part)
        found |= {
            "largest_context": self.largest_context,
            "drafter": None if self.drafter is None else str(self.drafter),
            "contexts": [
                {key: value for key, value in total.as_json().items() if key != "headroom_bytes"}
                for total in self.contexts
            ],
            "largest_contexts": dict(self.largest_contexts),
            "notes": list(self.notes),
        }
        if self.verification is not None:
            found["actual"] = self.verification.as_json()
        return {
            "reference": self.variant.reference,
            "precision": self.variant.precision.as_json(),
            **found,
        }


def make_plan(
    variant: Variant,
    model: MemoryModel,
    settings: MemorySettings,
    machine: MachineMemory,
    *,
    images: ImageMemory | None = None,
    with_images: bool = False,
) -> Plan:
    """The plan by formula, with the totals of other contexts and cache types."""
    architecture, weights = model
    counted = images if with_images else None
    totals, largest = context_totals(model, settings, machine, counted)
    return Plan(
        variant=variant,
        memory=plan_memory(architecture, weights, settings, machine, images=counted),
        largest_context=largest_context(architecture, weights, settings, machine, images=counted),
        trained_context=architecture.context_length,
        contexts=totals,
        largest_contexts=largest,
        images=images,
        with_images=with_images,
    )
