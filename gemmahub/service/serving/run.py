"""The use case: serve models until somebody ends it."""

from __future__ import annotations

import asyncio
import secrets
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import UsageError
from gemmahub.http.gate import ANY, gate_for
from gemmahub.http.place import end_event
from gemmahub.python_environment import install_command
from gemmahub.service.cluster import WantedCluster
from gemmahub.service.serving.choosing import Offered, ServedWith, planned_models, settings_of
from gemmahub.service.serving.known import KnownServer, made_known
from gemmahub.service.serving.room import Wish
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from starlette.types import ASGIApp

    from gemmahub.engines.contract import EngineServer
    from gemmahub.hardware.records import Machine
    from gemmahub.http.place import Place
    from gemmahub.memory import MachineMemory, MemoryPlan
    from gemmahub.service.installation import Installation
    from gemmahub.service.serving.choosing import PlannedModels
    from gemmahub.service.serving.front import Doors
    from gemmahub.service.serving.supervisor import Supervisor

_GRACE_SECONDS: Final = 1  # answers in work get so long when it is ended
_BACKLOG: Final = 2048
_LEAST_KEY: Final = 8


@dataclass(frozen=True, slots=True)
class Serving:
    """How it is served: where, to whom, and with how much memory (as people write it)."""

    place: Place
    key: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()
    wish: Wish = field(default_factory=Wish)
    memory: str | None = None
    ram: str | None = None
    beside: ServedWith = field(default_factory=ServedWith)
    cluster: WantedCluster = field(default_factory=WantedCluster)


def serve(here: Installation, references: Sequence[str], serving: Serving) -> None:
    """Serve models, all that are here where none is named, until a signal ends it.

    Raises: UsageError, NotInstalled, BackendMissing, DoesNotFit; what a model raises that is to be
    loaded at once: a pinned one, or the only one.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise UsageError(
            "serving needs starlette and uvicorn, which are not installed",
            install_command("gemmahub[server]"),
        ) from None
    _check(serving)
    machine = _machine(here, serving)
    served = _planned(here, references, serving, machine)
    listener = serving.place.listen()
    try:
        asyncio.run(_serve(here, served, serving, machine, listener))
    finally:
        listener.close()


def settings_for(
    here: Installation, client: str, references: Sequence[str], serving: Serving
) -> str:
    """What one of :data:`gemmahub.service.serving.client_settings.CLIENTS` needs to ask what
    :func:`serve` would serve.

    Raises: NotInstalled, BackendMissing, DoesNotFit.
    """
    from gemmahub.service.serving.client_settings import client_settings

    served = _planned(here, references, serving, _machine(here, serving))
    return client_settings(client, served, _own_address(serving.place))


def _planned(
    here: Installation, references: Sequence[str], serving: Serving, machine: Machine
) -> PlannedModels:
    if serving.cluster.is_asked:
        from gemmahub.service.serving.cluster import cluster_models

        named = (*references, *serving.pinned)
        return cluster_models(here, named, serving.wish, serving.cluster, machine)
    return planned_models(
        here, references, serving.beside, serving.wish, _room(machine), serving.pinned
    )


async def _serve(
    here: Installation,
    served: PlannedModels,
    serving: Serving,
    machine: Machine,
    listener: socket.socket,
) -> None:
    from gemmahub.service.serving.front import Doors
    from gemmahub.service.serving.supervisor import Supervisor

    ended, place = end_event(), serving.place
    supervisor = Supervisor(
        served, partial(_launch, here, machine), partial(_measure, here, machine), here.say
    )
    gate = gate_for(place.host, place.port, frozenset(serving.origins))
    doors = Doors(gate, serving.key, secrets.token_urlsafe(32))
    known = KnownServer(_own_address(place), doors.control)
    _allow_connections()
    for line in _said(served, serving):
        here.say(line)
    try:
        with made_known(here.config.data, known, place.port):
            await _until(ended, supervisor, doors, listener, here.say)
    finally:
        await supervisor.close()


async def _until(
    ended: asyncio.Event,
    supervisor: Supervisor,
    doors: Doors,
    listener: socket.socket,
    say: Callable[[str], None],
) -> None:
    """Listen until it has ended. Raises: what loading a model raises that is loaded at once."""
    from gemmahub.service.serving.front import application

    stop: asyncio.Future[Any] = asyncio.ensure_future(ended.wait())
    first = [h for h in supervisor.models if h.offered.pinned or len(supervisor.models) == 1]
    loading: asyncio.Future[Any] = asyncio.ensure_future(
        asyncio.gather(*(supervisor.load(held) for held in first))
    )
    await asyncio.wait({stop, loading}, return_when=asyncio.FIRST_COMPLETED)
    if stop.done():
        loading.cancel()
        return
    await loading
    server = _server(application(supervisor, doors))
    listening: asyncio.Future[Any] = asyncio.ensure_future(server.serve(sockets=[listener]))
    say("ready (Ctrl+C ends it)")
    await asyncio.wait({stop, listening}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await listening


def _server(application: ASGIApp) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        """Without signal handlers of its own: ours close the engines, too."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Server(
        uvicorn.Config(
            application,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )


def _launch(
    here: Installation, machine: Machine, offered: Offered, plan: MemoryPlan, key: str
) -> EngineServer:
    from gemmahub.engines import asking

    if offered.cluster is not None:
        from gemmahub.service.serving.cluster import cluster_settings

        found = cluster_settings(plan, offered)
        return asking.serve(offered.offer, offered.artifact, found, key)
    settings = settings_of(plan, machine, offered)
    settings = replace(settings, remote_workers=here.workers)
    return asking.serve(offered.offer, offered.artifact, settings, key)


def _machine(here: Installation, serving: Serving) -> Machine:
    return here.with_sizes(serving.memory, serving.ram)


def _room(machine: Machine) -> MachineMemory:
    """What models may take: all of what was named, else what is free but for a reserve."""
    from gemmahub.planning import machine_of
    from gemmahub.recommend.settings import with_reserve

    found = machine_of(machine)
    return found if machine.simulated else with_reserve(found)


def _measure(here: Installation, machine: Machine) -> MachineMemory | None:
    return None if machine.simulated else _room(here.as_used())


def _check(serving: Serving) -> None:
    """Raises: UsageError."""
    if serving.key is not None and len(serving.key) < _LEAST_KEY:
        raise UsageError(
            f"a key of fewer than {_LEAST_KEY} characters is easy to guess",
            "use a long random one: openssl rand -hex 24",
        )
    if not serving.place.is_local and serving.key is None:
        raise UsageError(
            f"anyone who can reach {serving.place.host} could use these models: a key is needed",
            "set GEMMAHUB_API_KEY, or use --api-key",
        )
    for origin in serving.origins:
        scheme, separator, rest = origin.partition("://")
        if not (scheme and separator and rest) or "/" in rest or "*" in origin:
            raise UsageError(
                f"{one_line(origin)!r} is not the origin of a page",
                "write it as the browser does: https://chat.example, or vscode-webview://ID",
            )


def _own_address(place: Place) -> str:
    """By which this machine itself connects."""
    if place.host in ANY:
        return f"http://127.0.0.1:{place.port}" if "." in place.host else place.url
    return place.url


def _said(served: PlannedModels, serving: Serving) -> Iterator[str]:
    """What a person hears before it begins."""
    for each in served.models:
        plan = served.plans[each.name]
        context = plan.settings.context // plan.settings.parallel
        clients = f" for each of {plan.settings.parallel} clients" * (plan.settings.parallel > 1)
        yield (
            f"{one_line(each.name)}: {each.variant.precision.summary} · {context:,} tokens{clients}"
            f" · {format_gib(plan.total_bytes)} · {each.offer.backend.name}"
            + (" · pinned" if each.pinned else "")
            + _loaded_beside(each)
            + ("" if each.template else " · no chat template: plain completion")
        )
    if len(served.models) > 1:
        yield (
            "all of them fit in memory together"
            if served.fit_together
            else (
                "they do not fit together: the least recently used model is unloaded when "
                "another is needed"
            )
        )
    url = serving.place.url
    key = "the key of this server" if serving.key is not None else "any text as the API key"
    yield f"clients of OpenAI: base URL {url}/v1, {key}"
    yield f"clients of Anthropic: base URL {url}, {key}"
    if not serving.place.is_local:
        yield "the connection is not encrypted: use it only in a network that you trust"


def _loaded_beside(each: Offered) -> str:
    """The file that drafts and the adapters of a model, as the end of a line."""
    drafter, adapters = each.beside.drafter, each.beside.adapters
    names = ", ".join(one_line(adapter.path.name, 80) for adapter in adapters)
    drafts = "" if drafter is None else f" · drafts by {one_line(drafter.name, 80)}"
    return f"{drafts} · with {names}" if names else drafts


def _allow_connections() -> None:
    """As many as the system lets this user have; each is an open file."""
    if sys.platform != "win32":
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
