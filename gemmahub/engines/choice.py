"""Which backend runs an artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.engines.dry_load import dry_load_isolated
from gemmahub.engines.isolated import load_isolated
from gemmahub.errors import BackendMissing

if TYPE_CHECKING:
    from gemmahub.engines.contract import Artifact, DryLoad, OnProgress, Session, Settings
    from gemmahub.engines.manager import BackendOffer, PluginManager


def choose_backend(manager: PluginManager, artifact: Artifact, name: str | None) -> BackendOffer:
    """The backend with that name, or the preferred one that is available for the format.

    Raises: BackendMissing, saying what is installed and what would mend it.
    """
    if name is not None:
        return _named(manager, artifact, name)
    candidates = [
        offer
        for offer in manager.backends()
        if artifact.format in offer.backend.formats and offer.backend.automatic
    ]
    reasons: list[str] = []
    hints: list[str] = []
    for offer in candidates:
        answer = manager.availability(offer)
        if answer.ok:
            return offer
        reasons.append(f"{offer.backend.name}: {answer.reason}")
        hints.append(answer.hint)
    if not reasons:
        raise BackendMissing(
            f"no installed backend runs {artifact.format} models",
            "install one, for example: pip install gemmahub-llamacpp; "
            "gemmahub plugins shows what is there",
        )
    raise BackendMissing(
        f"no backend for {artifact.format} models works here ({'; '.join(reasons)})",
        next((hint for hint in hints if hint), "gemmahub doctor says more"),
    )


def _named(manager: PluginManager, artifact: Artifact, name: str) -> BackendOffer:
    offer = manager.backend(name)
    if artifact.format not in offer.backend.formats:
        formats = ", ".join(offer.backend.formats) or "nothing"
        raise BackendMissing(
            f"{offer.backend.name} does not run {artifact.format} models, only {formats}",
            "leave --backend out, and the right one is chosen",
        )
    answer = manager.availability(offer)
    if not answer.ok:
        raise BackendMissing(
            f"{offer.backend.name} does not work here: {answer.reason}", answer.hint
        )
    return offer


def load_session(
    offer: BackendOffer,
    artifact: Artifact,
    settings: Settings,
    on_progress: OnProgress | None = None,
) -> Session:
    """Load a model: in a worker process when the engine is a library, else right here.

    Raises: BackendError.
    """
    if offer.backend.in_process:
        return load_isolated(offer, artifact, settings, on_progress)
    return offer.backend.load(artifact, settings, on_progress)


def dry_load(offer: BackendOffer, artifact: Artifact, settings: Settings) -> DryLoad:
    """What a load would allocate: asked in a worker process when the engine is a library.

    For several loads of one engine, :class:`~gemmahub.engines.dry_load.DryLoader` is faster.

    Raises: BackendError, also when the backend cannot tell.
    """
    if offer.backend.in_process:
        return dry_load_isolated(offer, artifact, settings)
    return offer.backend.dry_load(artifact, settings)
