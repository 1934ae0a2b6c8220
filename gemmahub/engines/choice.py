"""Which backend runs an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.engines.guarded import load_guarded
from gemmahub.engines.isolated import load_isolated
from gemmahub.errors import BackendMissing, Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import Artifact, OnProgress, Session, Settings
    from gemmahub.engines.manager import BackendOffer, PluginManager

# The distribution that a person without any backend for a format is pointed to.
_EXAMPLES: Final = {
    "gguf": "gemmahub-llamacpp",
    "mlx": "gemmahub-mlx",
    "safetensors": "gemmahub-mlx",
}


@dataclass(frozen=True, slots=True)
class Default:
    """The backend that a setting names for a format, and the name of that setting."""

    backend: str
    setting: str


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The backend that runs an artifact, and why this one."""

    offer: BackendOffer
    reason: str


def choose(
    manager: PluginManager,
    artifact: Artifact,
    name: str | None = None,
    *,
    default: Default | None = None,
    needs: str = "",
) -> BackendChoice:
    """The backend with that name, else the default of the settings, else the preferred one.

    A default counts for what it runs; ``needs`` is a capability that the backend must
    have, and a default without it does not count. The preferred one is that of the highest
    priority among those that are available here.

    Raises: BackendMissing, saying what is installed and what would mend it.
    """
    if name is not None:
        return BackendChoice(_named(manager, artifact, name), "named with --backend")
    if default is not None:
        offer = _of_setting(manager, default)
        if (
            artifact.format in offer.backend.formats
            and needs in (*offer.backend.capabilities, "")
            and (_suits(offer, artifact) or not offer.backend.automatic)
        ):
            _demand(manager, offer, f"; the setting {default.setting} names it")
            return BackendChoice(offer, f"the setting {default.setting} names it")
    return _preferred(manager, artifact, needs)


def _preferred(manager: PluginManager, artifact: Artifact, needs: str) -> BackendChoice:
    format_ = artifact.format
    candidates = [
        offer
        for offer in manager.backends()
        if format_ in offer.backend.formats
        and _suits(offer, artifact)
        and needs in (*offer.backend.capabilities, "")
    ]
    reasons: list[str] = []
    hints: list[str] = []
    for number, offer in enumerate(candidates):
        answer = manager.availability(offer)
        if answer.ok:
            others = [other.backend.name for other in candidates[number + 1 :]]
            return BackendChoice(offer, _why(format_, others, reasons))
        reasons.append(f"{offer.backend.name}: {answer.reason}")
        hints.append(answer.hint)
    if not reasons:
        raise BackendMissing(
            f"no installed backend runs {format_} models" + (f" and has {needs}" if needs else ""),
            f"{_advice(manager, format_)}; gemmahub plugins shows what is there",
        )
    raise BackendMissing(
        f"no backend for {format_} models works here ({'; '.join(reasons)})",
        next((hint for hint in hints if hint), "gemmahub doctor says more"),
    )


def _advice(manager: PluginManager, format_: str) -> str:
    """What to do where no backend runs a format: of a plugin's, only its plugin can know one."""
    if format_ in _EXAMPLES:
        return f"install one, for example: pip install {_EXAMPLES[format_]}"
    names = {o.backend.name: ", ".join(o.backend.formats) for o in manager.backends()}
    here = ", ".join(f"{name} ({formats})" for name, formats in names.items()) or "none"
    return f"look for a plugin with a backend for {format_}; installed: {here}"


def _suits(offer: BackendOffer, artifact: Artifact) -> bool:
    try:
        return bool(offer.backend.suits(artifact))
    except Exception:  # noqa: BLE001 - third-party code: it can still be named
        return False


def _why(format_: str, others: list[str], missing: list[str]) -> str:
    """Why the first available one was taken."""
    if others:
        reason = f"preferred for {format_} to {', '.join(others)}"
    else:
        reason = f"the only one for {format_} that works here"
    return f"{reason} ({'; '.join(missing)})" if missing else reason


def _named(manager: PluginManager, artifact: Artifact, name: str) -> BackendOffer:
    offer = manager.backend(name)
    if artifact.format not in offer.backend.formats:
        formats = ", ".join(offer.backend.formats) or "nothing"
        raise BackendMissing(
            f"{offer.backend.name} does not run {artifact.format} models, only {formats}",
            "leave --backend out, and the right one is chosen",
        )
    _demand(manager, offer, "")
    return offer


def _of_setting(manager: PluginManager, default: Default) -> BackendOffer:
    try:
        return manager.backend(default.backend)
    except BackendMissing as error:
        message = f"{error.message}; the setting {default.setting} names it"
        raise BackendMissing(message, error.hint) from None


def _demand(manager: PluginManager, offer: BackendOffer, why: str) -> None:
    answer = manager.availability(offer)
    if not answer.ok:
        raise BackendMissing(
            f"{offer.backend.name} does not work here: {answer.reason}{why}", answer.hint
        )


def load_session(
    offer: BackendOffer,
    artifact: Artifact,
    settings: Settings,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Session:
    """Load a model: in a worker process when the engine is a library, else right here.

    A worker process is ended as soon as ``cancelled`` says so; an engine elsewhere is asked to
    stop when it next tells of its progress.

    Raises: BackendError, Cancelled.
    """
    if offer.backend.in_process:
        return load_isolated(offer, artifact, settings, on_progress, cancelled)
    if cancelled is None:
        return load_guarded(offer, artifact, settings, on_progress)

    def report(fraction: float) -> None:
        if cancelled():
            raise Cancelled("loading was cancelled", "load the model again")
        if on_progress is not None:
            on_progress(fraction)

    session = load_guarded(offer, artifact, settings, report)
    if cancelled():
        session.close()
        raise Cancelled("loading was cancelled", "load the model again")
    return session
