"""The use case behind Tab: the names of models, engines, settings ... that are here now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub import __version__
from gemmahub.config.kept_names import keep_names
from gemmahub.hardware.simulate import PRESETS
from gemmahub.service.model_filter import KEYS
from gemmahub.service.schemas import SCHEMAS
from gemmahub.service.settings import known_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.config.kept_names import Names
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


def names_here(here: Installation) -> dict[str, Names]:
    """All names by kind; they are remembered for the next Tab. Reads the stores."""
    manager, registry = here.plugins_manager, here.registry
    variants = registry.models(catalogue=True).variants
    found: dict[str, Names] = {
        "models": [*_sorted(variants), *((m.name, m.title) for m in registry.catalog.models)],
        "installed": _sorted(each for each in variants if each.runnable),
        "backends": [
            (offer.backend.name, ", ".join(offer.backend.formats)) for offer in manager.backends()
        ],
        "settings": [
            (".".join(known.keys), known.setting.help) for known in known_settings(manager)
        ],
        "plugins": [(record.name, record.version or "") for record in manager.records],
        "stores": [(store.name, "") for store in here.stores],
        "machines": [(preset.name, preset.title) for preset in PRESETS],
        "schemas": [(name, entry.description) for name, entry in SCHEMAS.items()],
        "keys": [(name, key.what) for name, key in KEYS.items()],
    }
    keep_names(__version__, found)
    return found


def _sorted(variants: Iterable[Variant]) -> Names:
    """By name; what is here says so."""
    return sorted(
        (each.reference, f"{'here, ' if each.runnable else ''}{each.precision.short}")
        for each in variants
    )
