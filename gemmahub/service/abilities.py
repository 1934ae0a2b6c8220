"""What a model can do, of all that is known of it here: by its file, else by the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gemmahub.catalog.records import Catalog, Model
    from gemmahub.registry.variants import Variant

ABILITIES: Final = ("text", "image", "audio", "thinking", "tools")
"""In the order in which they are shown."""


def abilities_of(variant: Variant, model: Model | None, catalog: Catalog) -> tuple[str, ...]:
    """Those of :data:`ABILITIES` that a variant has; ``model`` is the catalogue's, if it knows it.

    Thinking and tools are those that its chat template has words for; of a file that is not here,
    those of the instruction-tuned models of its family. An embedding model has none.
    """
    if variant.embeds:
        return ()
    found = set(variant.capabilities)
    template = variant.header.chat_template if variant.header is not None else None
    if template is not None:
        from gemmahub.engines.chat_template import abilities_of as in_template

        found |= set(in_template(template))
    elif model is not None and model.instruction_tuned and not variant.artifacts:
        family = catalog.family(model.family)
        found |= set(family.chat_abilities if family else ())
    return tuple(name for name in ABILITIES if name in found)


def is_base(model: Model | None) -> bool:
    """Whether it is known to continue texts only: it was not trained to answer."""
    return model is not None and not model.instruction_tuned
