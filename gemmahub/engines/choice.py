"""Which backend runs an artifact."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Loadable, ServedModel
from gemmahub.engines.guarded import load_guarded
from gemmahub.engines.isolated import load_isolated
from gemmahub.engines.judging import refused_by
from gemmahub.errors import BackendMissing, Cancelled
from gemmahub.python_environment import install_command
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub.engines.contract import Artifact, OnProgress, Session, Settings
    from gemmahub.engines.manager import BackendOffer, PluginManager
    from gemmahub.formats.reader import ModelFile

# The distribution that a person without any backend for a format is pointed to, by system.
_MLX: Final = {"darwin": "gemmahub-mlx", "linux": "gemmahub-mlx[cpu]"}
_EXAMPLES: Final[dict[str, dict[str, str]]] = {
    "mlx": _MLX,
    "safetensors": {**_MLX, "win32": "gemmahub-transformers[torch]"},
}


def engine_command(needs: str = "") -> str:
    """The one command that installs an engine for GGUF files on this machine; see
    :func:`engine_extra`."""
    return install_command(f"gemmahub[{engine_extra(needs)}]")


def engine_extra(needs: str = "") -> str:
    """The extra of gemmahub with an engine for GGUF files on this machine.

    It is the one that compiles nothing, where there is a package of it; what ``needs`` a capability
    that llama-server lacks (a dry load, log probabilities) needs llama.cpp inside Python.
    """
    served = needs in ("", "embed", "serve")
    return "server" if served and has_packaged_server() else "llamacpp"


def has_packaged_server() -> bool:
    """Whether there is a wheel with a llama-server for this machine."""
    machine = platform.machine().casefold()
    packaged = {
        "darwin": machine == "arm64",
        "linux": "glibc" in platform.libc_ver() and machine in ("x86_64", "aarch64"),
        "win32": machine in ("amd64", "arm64"),
    }
    return packaged.get(sys.platform, False)


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
    model: Artifact | ServedModel,
    name: str | None = None,
    *,
    default: Default | None = None,
    needs: str = "",
    header: ModelFile | None = None,
) -> BackendChoice:
    """The backend with that name, else the default of the settings, else the preferred one.

    A default counts for what it runs; ``needs`` is a capability that the backend must have, and
    ``header`` one that it must be able to load: a default that does not is passed over. The
    preferred one is that of the highest priority among those that are available here. A served
    model has the backend of its server.

    Raises: BackendMissing, saying what is installed and what would mend it.
    """
    if isinstance(model, ServedModel):
        return _of_server(manager, model, name)
    if name is not None:
        return BackendChoice(_named(manager, model, name, header), "named with --backend")
    if default is not None:
        offer = _of_setting(manager, default)
        if (
            model.format in offer.backend.formats
            and needs in (*offer.backend.capabilities, "")
            and (not offer.backend.automatic or manager.suits(offer, model))
            and _loads(manager, offer, header).ok
        ):
            _demand(manager, offer, f"; it is named by the setting {default.setting}")
            return BackendChoice(offer, f"named by the setting {default.setting}")
    return _preferred(manager, model, needs, header)


def _loads(manager: PluginManager, offer: BackendOffer, header: ModelFile | None) -> Loadable:
    return Loadable(True) if header is None else manager.loadable(offer, [header])[0]


def _of_server(manager: PluginManager, model: ServedModel, name: str | None) -> BackendChoice:
    offer = manager.backend(model.backend)
    if name not in (None, offer.backend.name, offer.plugin):
        raise BackendMissing(
            f"{model.reference} is a model of a server; only {offer.backend.name} can use it",
            "leave out --backend",
        )
    _demand(manager, offer, "")
    return BackendChoice(offer, f"it serves {model.reference}")


def _preferred(
    manager: PluginManager, artifact: Artifact, needs: str, header: ModelFile | None
) -> BackendChoice:
    """Raises: BackendMissing, which names those that run the format and why each is not taken."""
    format_ = artifact.format
    reasons: list[str] = []
    candidates = []
    refused: list[tuple[BackendOffer, Loadable]] = []
    for offer in manager.backends():
        if format_ not in offer.backend.formats:
            continue
        if needs not in (*offer.backend.capabilities, ""):
            reasons.append(f"{offer.backend.name} has no {needs}")
        elif manager.suits(offer, artifact):
            loadable = _loads(manager, offer, header)
            if loadable.ok:
                candidates.append(offer)
            else:
                refused.append((offer, loadable))
        else:
            reasons.append(_unsuited(offer))
    hints: list[str] = []
    missing: list[str] = []
    answers = manager.availabilities(candidates)
    for number, (offer, answer) in enumerate(zip(candidates, answers, strict=True)):
        if answer.ok:
            others = [other.backend.name for other in candidates[number + 1 :]]
            return BackendChoice(offer, _why(format_, others, missing))
        missing.append(f"{offer.backend.name}: {answer.reason}")
        hints.append(answer.hint)
    if refused:
        raise _not_loadable(artifact, refused, missing, next(filter(None, hints), ""))
    reasons = [*missing, *reasons, *_failed(manager)]
    if missing:
        raise BackendMissing(
            f"no backend for {format_} models works here ({'; '.join(reasons)})",
            next((hint for hint in hints if hint), "run gemmahub doctor for details"),
        )
    what = f"no installed backend runs {format_} models" + (f" and has {needs}" if needs else "")
    raise BackendMissing(
        f"{what} ({'; '.join(reasons)})" if reasons else what,
        f"{_advice(manager, format_, needs)}; gemmahub plugins lists them",
    )


def _not_loadable(
    artifact: Artifact,
    refused: Sequence[tuple[BackendOffer, Loadable]],
    missing: Sequence[str],
    hint: str,
) -> BackendMissing:
    """Where engines cannot load the file, and those that might do not work here."""
    name = one_line(artifact.reference or artifact.path.name, 120)
    others = f"; {'; '.join(missing)}" if missing else ""
    return BackendMissing(
        f"no backend here can run {name}: {refused_by(refused)}{others}",
        hint or refused[0][1].hint or "use another file of the model",
    )


def _advice(manager: PluginManager, format_: str, needs: str) -> str:
    """What to do where no backend runs a format: of a plugin's, only its plugin can know one."""
    if format_ == "gguf":
        once = " (it compiles llama.cpp once, which takes some minutes)" if needs else ""
        return f"install one: {engine_command(needs)}{once}"
    if example := _EXAMPLES.get(format_, {}).get(sys.platform):
        return f"install one, for example: {install_command(example)}"
    names = {o.backend.name: ", ".join(o.backend.formats) for o in manager.backends()}
    here = ", ".join(f"{name} ({formats})" for name, formats in names.items()) or "none"
    return f"look for a plugin with a backend for {format_}; installed: {here}"


def _unsuited(offer: BackendOffer) -> str:
    """Why a backend of the format is not taken by itself."""
    name = offer.backend.name
    when = "is chosen for some of them only" if offer.backend.automatic else "only when named"
    return f"{name}: {when}, --backend {name}"


def _failed(manager: PluginManager) -> list[str]:
    """Plugins that might have one, were they loaded."""
    found = []
    for state, why in (("failed", "failed"), ("left out", "excluded by GEMMAHUB_PLUGINS"),
                       ("disabled", "disabled")):  # fmt: skip
        if names := [record.name for record in manager.records if record.state == state]:
            found.append(f"{why}: {', '.join(names)}")
    return found


def _why(format_: str, others: list[str], missing: list[str]) -> str:
    """Why the first available one was taken."""
    if others:
        reason = f"preferred for {format_} to {', '.join(others)}"
    else:
        reason = f"the only one for {format_} that works here"
    return f"{reason} ({'; '.join(missing)})" if missing else reason


def _named(
    manager: PluginManager, artifact: Artifact, name: str, header: ModelFile | None
) -> BackendOffer:
    offer = manager.backend(name)
    if artifact.format not in offer.backend.formats:
        formats = ", ".join(offer.backend.formats) or "nothing"
        raise BackendMissing(
            f"{offer.backend.name} does not run {artifact.format} models, only {formats}",
            "leave out --backend: the right one is then chosen",
        )
    _demand(manager, offer, "")
    loadable = _loads(manager, offer, header)
    if not loadable.ok:
        raise _not_loadable(artifact, [(offer, loadable)], (), "")
    return offer


def _of_setting(manager: PluginManager, default: Default) -> BackendOffer:
    try:
        return manager.backend(default.backend)
    except BackendMissing as error:
        message = f"{error.message}; it is named by the setting {default.setting}"
        raise BackendMissing(message, error.hint) from None


def _demand(manager: PluginManager, offer: BackendOffer, why: str) -> None:
    answer = manager.availability(offer)
    if not answer.ok:
        raise BackendMissing(
            f"{offer.backend.name} does not work here: {answer.reason}{why}", answer.hint
        )


def load_session(
    offer: BackendOffer,
    model: Artifact | ServedModel,
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
        return load_isolated(offer, model, settings, on_progress, cancelled)
    if cancelled is None:
        return load_guarded(offer, model, settings, on_progress)

    def report(fraction: float) -> None:
        if cancelled():
            raise Cancelled("loading was cancelled", "load the model again")
        if on_progress is not None:
            on_progress(fraction)

    session = load_guarded(offer, model, settings, report)
    if cancelled():
        session.close()
        raise Cancelled("loading was cancelled", "load the model again")
    return session
