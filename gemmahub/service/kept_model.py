"""The use case: a kept conversation is continued, also where its model is gone or was replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.conversations import Described
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class KeptModel:
    """What became of the model that a conversation was held with.

    ``here``: it can be loaded, as far as that is known without doing so. ``note`` says what a
    reader should know before it answers: that it is gone, or that its file was replaced.
    """

    reference: str
    here: bool
    note: str = ""


def kept_model(here: Installation, held: Described) -> KeptModel:
    """Whether the model of a conversation is on this machine, and still the one that it was. Asks
    no server of a hub."""
    shown = one_line(held.reference, 100)
    try:
        variant = here.registry.resolve(held.reference)
    except (GemmahubError, OSError) as error:
        reason = getattr(error, "message", str(error))
        return KeptModel(held.reference, False, f"{shown} cannot be used now: {reason}")
    if not variant.runnable:
        return KeptModel(held.reference, False, f"{shown} is not on this machine any more")
    now = variant.precision.summary
    if held.precision and now != held.precision:
        note = f"the file was replaced: it was {held.precision}, and is {now} now"
        return KeptModel(held.reference, True, note)
    return KeptModel(held.reference, True)


def models_that_answer(here: Installation, instead_of: Described) -> list[Variant]:
    """Models on this machine that can go on with a conversation: variants of its own model first,
    then the others, the largest first."""
    found = [
        variant
        for variant in here.registry.models().variants
        if variant.runnable and variant.is_model and not variant.embeds and not variant.problem
    ]
    found.sort(key=lambda v: (v.name != instead_of.model, -(v.size_bytes or 0), v.reference))
    return found
