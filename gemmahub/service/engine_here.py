"""The engine that runs a model here, as far as the model's memory depends on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Artifact
from gemmahub.errors import BackendMissing
from gemmahub.hardware.records import EngineHere

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.config import Config
    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import ServedModel
    from gemmahub.engines.manager import PluginManager
    from gemmahub.formats.reader import ModelFile

_MIB: Final = 2**20
_ANY_GGUF: Final = Artifact("gguf", Path())


def engine_here(
    choose: Callable[..., BackendChoice],
    plugins: PluginManager,
    artifact: Artifact = _ANY_GGUF,
    needs: str = "",
) -> EngineHere | None:
    """The engine that runs an artifact here as :meth:`Installation.choose` chooses, with a
    capability that is needed; None where there is none: a formula needs no engine.

    What it keeps of conversations is said by its own options, where it has them: ``checkpoints``
    for each answer at once, ``prompt_cache`` in MiB.

    Raises: UsageError when the settings file is broken.
    """
    try:
        offer = choose(artifact, needs=needs).offer
    except BackendMissing:
        return None
    options: dict[str, Any] = {option.name: option.default for option in offer.backend.options}
    options |= offer.options
    found = plugins.availability(offer)
    return EngineHere(
        f"{offer.backend.name} {found.version}".strip(),
        found.commit,
        _count(options.get("checkpoints")),
        _count(options.get("prompt_cache")) * _MIB,
    )


def chosen_engine(
    config: Config,
    plugins: PluginManager,
    model: Artifact | ServedModel,
    name: str | None,
    needs: str,
    header: ModelFile | None,
) -> BackendChoice:
    """As :meth:`Installation.choose`, with what the settings say of the backend's own options.

    Raises: BackendMissing; UsageError for an option that it has not, or a value that it does not
    take.
    """
    from gemmahub.config.file import settings_path
    from gemmahub.engines.choice import Default, choose
    from gemmahub.engines.option_values import option_defaults

    setting = config.backend_for(model.format if isinstance(model, Artifact) else "")
    default = None if setting is None else Default(*setting)
    found = choose(plugins, model, name, default=default, needs=needs, header=header)
    backend = found.offer.backend
    table = config.backend_tables.get(backend.name, {})
    options = option_defaults(backend, table, config.source or settings_path())
    return replace(found, offer=replace(found.offer, options=options))


def _count(value: object) -> int:
    """A number of 0 or more; the backend refuses all else when it loads."""
    return value if type(value) is int and value >= 0 else 0
