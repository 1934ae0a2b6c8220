"""Loading and unloading, where a server does that: LM Studio, and llama-server as a router."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendError, LoadFailed
from gemmahub_openai import faults, llama_server, lm_studio
from gemmahub_openai.client import Clock, ServerClient
from gemmahub_openai.servers import ServerKind, StatedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gemmahub.engines.contract import OnProgress
    from gemmahub_openai.listing import Offer

_UNLOAD_SECONDS: Final = 30.0
_ASK_SECONDS: Final = 10.0

# Models that were loaded for sessions of this process, and how many of them use each.
_users: dict[tuple[str, str], int] = {}
_lock: Final = Lock()


@dataclass(slots=True)
class HeldModel:
    """A model that a session uses. ``name`` is what requests call it, ``context`` what it was
    loaded with, None where this did not load it. ``release`` gives it back; twice is fine."""

    name: str
    context: int | None = None
    give_back: Callable[[], None] | None = None

    def release(self) -> None:
        """Give the memory back where it was loaded for this. Raises: BackendError."""
        give_back, self.give_back = self.give_back, None
        if give_back is not None:
            give_back()


def hold(offer: Offer, options: Mapping[str, Any], on_progress: OnProgress | None) -> HeldModel:
    """Load a model that its server has not loaded yet.

    Raises: LoadFailed, BackendMissing, BackendCrashed.
    """
    model, wanted = offer.model, options["context_length"]
    if wanted is not None and offer.kind is not ServerKind.LM_STUDIO:
        raise LoadFailed(
            f"{offer.server.shown} chooses the context on its own",
            "leave out context_length; it is for LM Studio",
        )
    if offer.kind not in (ServerKind.LM_STUDIO, ServerKind.LLAMA_ROUTER):
        return HeldModel(model.name)
    if offer.kind is ServerKind.LM_STUDIO and wanted not in (None, model.context):
        return _load_in_studio(offer, options)
    if model.loaded:
        name = model.instances[0] if model.instances else model.name
        return _joined(offer, HeldModel(name))
    if offer.kind is ServerKind.LM_STUDIO:
        return _load_in_studio(offer, options)
    with ServerClient(offer.server) as client:
        report = on_progress or (lambda _: None)
        try:
            llama_server.load_model(client, model.name, float(options["timeout"]), report)
        except BaseException:  # such as a loading that was cancelled
            with suppress(BackendError):
                llama_server.unload_model(client, model.name)
            raise
    return _mine(offer, HeldModel(model.name), model.name, options)


def more_of(offer: Offer, held: HeldModel) -> StatedModel:
    """What the server states of the model now that it is loaded."""
    model = offer.model
    if held.context is not None:
        model = replace(model, context=held.context)
    if offer.kind is not ServerKind.LLAMA_ROUTER:
        return model
    with ServerClient(offer.server) as client, suppress(BackendError):
        props = llama_server.props_of(client, Clock(_ASK_SECONDS), model.name)
        model = llama_server.with_props(model, props)
    return model


def unload(offer: Offer, instance: str) -> None:
    """Let the server give back a model's memory.

    Raises: BackendError, also for a server that cannot.
    """
    with ServerClient(offer.server) as client:
        try:
            if offer.kind is ServerKind.LM_STUDIO:
                lm_studio.unload_instance(client, instance, Clock(_UNLOAD_SECONDS))
                return
            if offer.kind is ServerKind.LLAMA_ROUTER:
                llama_server.unload_model(client, instance)
                return
        except faults.NotOffered:
            pass  # an LM Studio before 0.4
    raise BackendError(
        f"{offer.server.shown} ({offer.kind}) keeps its model until the server stops",
        "stop the server to free the memory",
    )


def _load_in_studio(offer: Offer, options: Mapping[str, Any]) -> HeldModel:
    clock = Clock(float(options["timeout"]))
    with ServerClient(offer.server) as client:
        try:
            made = lm_studio.load_model(
                client, offer.model.name, clock, context=options["context_length"]
            )
        except faults.NotOffered:  # before 0.4 a model is loaded by the first request for it
            if options["context_length"] is not None:
                raise LoadFailed(
                    f"{offer.server.shown} cannot set the context: it is LM Studio before 0.4",
                    "leave out context_length, or update it",
                ) from None
            return HeldModel(offer.model.name)
    return _mine(offer, HeldModel(made.id, made.context), made.id, options)


def _mine(offer: Offer, held: HeldModel, instance: str, options: Mapping[str, Any]) -> HeldModel:
    """A model that was loaded here: the last session of this process that uses it unloads it."""
    if options["keep"]:
        return held
    with _lock:
        _users.setdefault((offer.server.url, instance), 0)
    return _joined(offer, held)


def _joined(offer: Offer, held: HeldModel) -> HeldModel:
    """One more user of a model that this process loaded; of another's nothing is given back."""
    key = (offer.server.url, held.name)
    with _lock:
        if key not in _users:
            return held
        _users[key] += 1

    def give_back() -> None:
        with _lock:
            _users[key] -= 1
            if _users[key] > 0:
                return
            del _users[key]
        unload(offer, held.name)

    held.give_back = give_back
    return held
