"""What ``bench --tune`` found for a model, taken by ``run``, ``serve`` and ``plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Settings
from gemmahub.errors import NotFound
from gemmahub.text import one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Collection

    from gemmahub.measurements.tuned import TunedSettings
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation

_USUAL: Final = Settings()


def tuned_for(here: Installation, variant: Variant, engine: str) -> TunedSettings | None:
    """What was found for a variant with an engine on this machine."""
    from gemmahub.measurements.tuned import TunedStore
    from gemmahub.stores.identity import content_of

    if not variant.artifacts:
        return None
    content = content_of(variant.artifacts[0], here.sums)
    found = TunedStore(here.config.data).of(content, engine)
    if found is not None and found.drafter is not None and not Path(found.drafter).is_file():
        return None  # it was measured with a file that is gone
    return found


def taken_from_tuning(
    here: Installation,
    variant: Variant,
    engine: str,
    settings: Settings,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """What was found, for settings that nobody gave; it is said in one line. ``without`` names
    what is not wanted of it."""
    found = tuned_for(here, variant, engine)
    if found is None:
        return {}
    changes = {n: v for n, v in changes_of(found, settings).items() if n not in without}
    if changes:
        here.say(said_of(variant, found, changes))
    return changes


def changes_of(found: TunedSettings, settings: Settings) -> dict[str, Any]:
    """What is found for settings that nobody gave, by the names of the contract's."""
    values = found.values
    wanted = {name: value for name, value in values.items() if name != "cache_type"}
    if "cache_type" in values:
        wanted |= dict.fromkeys(("cache_type_k", "cache_type_v"), values["cache_type"])
    if "drafter" in wanted:
        wanted["drafter"] = Path(wanted["drafter"])
    return {
        name: value
        for name, value in wanted.items()
        if getattr(settings, name) == getattr(_USUAL, name)
    }


def said_of(variant: Variant, found: TunedSettings, changes: dict[str, Any]) -> str:
    """The one line."""
    reset = command_line("bench", "reset", variant.reference)
    return one_line(
        f"{variant.reference}: {in_words(changes)}, as found by bench --tune "
        f"({found.gain:.2f} times as fast); run {reset} to drop that",
        600,
    )


def in_words(values: dict[str, Any]) -> str:
    """``threads 4, ubatch 256``."""
    parts = []
    for name, value in values.items():
        if name == "cache_type_v":
            continue
        word = name.removesuffix("_k").replace("_", " ")
        shown = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
        parts.append(f"{word} {shown.name if isinstance(shown, Path) else shown}")
    return ", ".join(parts) or "the default settings"


def reset_tuned(here: Installation, reference: str) -> None:
    """Forget what was found for a model. Raises: NotFound."""
    from gemmahub.measurements.tuned import TunedStore
    from gemmahub.stores.identity import content_of

    variant = here.registry.resolve(reference)
    content = content_of(variant.artifacts[0], here.sums) if variant.artifacts else None
    if not content or not TunedStore(here.config.data).forget(content):
        raise NotFound(
            f"no tuned settings of {one_line(variant.reference)} on this machine",
            f"{command_line('bench', variant.reference, tune=True)} finds its best settings",
        )
