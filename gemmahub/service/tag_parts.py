"""What a store keeps with the weights of a model, and what becomes of it with another engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.engines.contract import Adapter
from gemmahub.errors import LoadFailed
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.engines.contract import Artifact, Settings
    from gemmahub.engines.manager import BackendOffer
    from gemmahub.service.installation import Installation


def with_tag_parts(
    here: Installation, offer: BackendOffer, artifact: Artifact, settings: Settings
) -> Settings:
    """The settings with the adapters of a tag. The store's own engine uses all of a tag; of another
    one it is said what it leaves out.

    Raises: LoadFailed where the engine takes no adapters.
    """
    from gemmahub.engines.judging import for_any_place

    if not artifact.parts or not for_any_place(offer):
        return settings
    name, engine = one_line(artifact.reference or artifact.name, 80), offer.backend.name
    adapters = [path for part, path in artifact.parts if part == "ADAPTER"]
    if adapters and "adapters" not in offer.backend.capabilities:
        raise LoadFailed(
            f"{name} has an ADAPTER, which {engine} cannot use: without it, it is another model",
            "choose an engine that can: --backend llama-server",
        )
    left_out = dict.fromkeys(part for part, _ in artifact.parts if part != "ADAPTER")
    if left_out:
        here.say(f"{engine} runs the weights of {name}; left out of its tag: {', '.join(left_out)}")
    own = tuple(Adapter(path.absolute()) for path in adapters)
    return replace(settings, adapters=(*own, *settings.adapters))
