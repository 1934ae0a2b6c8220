"""All servers asked at once: their models, what is in memory, and which of them fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gemmahub.engines.contract import BrokenEntry, LoadedModel, ServedModel
from gemmahub.errors import BackendError, BackendMissing
from gemmahub_openai import faults
from gemmahub_openai.asking import describe
from gemmahub_openai.client import Clock, ServerClient
from gemmahub_openai.places import Places, all_places, found_name
from gemmahub_openai.reach import is_there
from gemmahub_openai.servers import Server, ServerKind, ServerState, StatedModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.http.client import WebClient

BACKEND: Final = "openai"
FOUND_SECONDS: Final = 1.5
"""The most that a place which nobody named has to answer in: something else may listen there."""
_RESERVE: Final = 0.3  # seconds of the limit that stay for putting the answers together
_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Answered:
    """What one server said: its state, or why there is none. ``server`` has its name by then."""

    server: Server
    state: ServerState | None = None
    error: BackendError | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """One model of one server, with the reference that names it."""

    reference: str
    server: Server
    kind: ServerKind
    model: StatedModel


def ask_all(places: Places, seconds: float) -> list[Answered]:
    """Each server's state, all asked at the same time; one that takes longer is a failure.

    Of places that nobody named only those with a server of models are in it.
    """
    found: dict[int, Answered] = {}
    pending = list(enumerate(places.servers))[::-1]
    lock = threading.Lock()
    clock = Clock(max(seconds - _RESERVE, seconds / 2))
    # Connections of their own would cost each server 30 ms for certificates.
    webs = {local: _web(local) for local in {server.local for server in places.servers}}
    running = min(len(pending), _AT_ONCE)

    def work() -> None:
        nonlocal running
        while True:
            with lock:
                if not pending or clock.over:
                    running -= 1
                    last = not running
                    break
                number, server = pending.pop()
            answer = _ask(server, clock, webs[server.local])
            with lock:
                found[number] = answer
        if last:
            for web in webs.values():
                web.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(running)]
    for thread in threads:
        thread.start()
    end = monotonic() + clock.left + _RESERVE / 2
    for thread in threads:
        thread.join(max(end - monotonic(), 0))
    with lock:
        answers = dict(found)
    late = BackendError("did not answer in time", "it may be busy or hang: see its log")
    whole = [answers.get(n, Answered(one, error=late)) for n, one in enumerate(places.servers)]
    return [answer for answer in whole if _counts(answer)]


def offers(answers: Sequence[Answered]) -> list[Offer]:
    """The models of all servers, each with a reference of its own."""
    found: list[Offer] = []
    for answer in answers:
        if answer.state is None:
            continue
        names = [_shown(model) for model in answer.state.models]
        for model, name in zip(answer.state.models, names, strict=True):
            own = name if names.count(name) == 1 else model.name
            reference = f"{answer.server.name}://{quote(own, safe='/:.@-_+')}"
            found.append(Offer(reference, answer.server, answer.state.kind, model))
    return found


def served(seconds: float) -> list[ServedModel | BrokenEntry]:
    """What ``gemmahub list`` shows. Raises: BackendError for settings that are none."""
    places = all_places()
    answers = ask_all(places, seconds)
    found: list[ServedModel | BrokenEntry] = [served_model(offer) for offer in offers(answers)]
    found += [
        BrokenEntry(Path(name), BACKEND, reason, f"{name}://") for name, reason in places.wrong
    ]
    for answer in answers:
        server, state, error = answer.server, answer.state, answer.error
        if error is not None:
            told = error.in_full if isinstance(error, faults.KeyWanted) else error.message
            reason = f"{server.url}: {told}"
            found.append(BrokenEntry(Path(server.name), BACKEND, reason, f"{server.name}://"))
        for fault in state.faults if state else ():
            found.append(BrokenEntry(Path(server.name), BACKEND, f"{server.url}: {fault}"))
    return found


def served_model(offer: Offer) -> ServedModel:
    """The contract's record of a model. Its file is told where the server is on this machine."""
    model = offer.model
    return ServedModel(
        offer.reference,
        model.name,
        BACKEND,
        place=offer.server.url,
        precision=model.label,
        architecture=model.architecture,
        context=model.context,
        context_trained=model.context_trained,
        images=model.images,
        loaded=model.loaded,
        file=model.file if offer.server.local else "",
    )


def in_memory(seconds: float) -> list[LoadedModel]:
    """What ``gemmahub ps`` shows: only of servers that say it."""
    found: list[tuple[str, Offer]] = []
    for offer in offers(ask_all(all_places(), seconds)):
        found += [(name, offer) for name in offer.model.instances]
    names = [name for name, _ in found]
    return [
        LoadedModel(
            name if names.count(name) == 1 else f"{offer.server.name}://{name}",
            BACKEND,
            reference=offer.reference,
            label=offer.model.label,
            context=offer.model.context,
            device=f"{offer.kind} {offer.server.name}",
            place=offer.server.url,
        )
        for name, offer in found
    ]


def loaded_offer(name: str, seconds: float) -> tuple[Offer, str] | None:
    """The model in memory that :func:`in_memory` calls so, and the server's name for it."""
    listed = offers(ask_all(all_places(), seconds))
    for offer in listed:
        for instance in offer.model.instances:
            if name in (instance, f"{offer.server.name}://{instance}"):
                return offer, instance
    return None


def _ask(server: Server, clock: Clock, web: WebClient) -> Answered:
    own = Clock(min(clock.left, FOUND_SECONDS)) if server.found else clock
    if server.found and not is_there(server, own.left):
        return Answered(server, error=faults.unreachable(server))
    try:
        state = describe(ServerClient(server, web), own)
    except BackendError as error:
        return Answered(server, error=error)
    if server.found:
        server = Server(found_name(state.kind, server.url), server.url, found=True)
    return Answered(server, state)


def _web(local: bool) -> WebClient:
    from gemmahub.http.client import WebClient

    headers = {"Content-Type": "application/json"}
    return WebClient(headers=headers, proxies=not local, keep_alive=False)


def _counts(answer: Answered) -> bool:
    """Whether an answer is told. A place that nobody named may hold anything, or nothing: it counts
    when it is a server of models, or one that asks for a key as they do. A server of gemmahub's own
    is none."""
    if answer.state is not None and answer.state.kind is ServerKind.GEMMAHUB:
        return False
    if not answer.server.found or answer.error is None:
        return True
    return isinstance(answer.error, faults.KeyWanted)


def _shown(model: StatedModel) -> str:
    """What a reference calls a model: of a path the last part."""
    name = model.name.replace("\\", "/").rstrip("/")
    is_path = name.startswith(("/", "~")) or name[1:3] == ":/"
    return name.rpartition("/")[2] if is_path else name


def missing(places: Places, answers: Sequence[Answered]) -> BackendMissing | None:
    """Why there is no server at all; None where there is one, or one is named."""
    if answers or places.wrong:
        return None
    asked = ", ".join(server.url.removeprefix("http://") for server in places.servers)
    where = f", and none answers at {asked}" if asked else ""
    return BackendMissing(
        f"no server is set{where}",
        "gemmahub config set plugins.openai.servers.NAME.url http://HOST:PORT adds one",
    )
