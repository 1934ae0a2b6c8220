"""When models are loaded and unloaded: in one event loop, without cutting an answer short.

A model is loaded when it is first asked. Where it has no room, the least recently used of the
others is unloaded, as soon as nobody waits for an answer of it; pinned ones never are. One that
cannot be loaded is not tried again at the cost of another.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from gemmahub.errors import GemmahubError, LoadFailed
from gemmahub.service.serving.choosing import Offered, PlannedModels, does_not_fit
from gemmahub.service.serving.room import smaller, without
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gemmahub.engines.contract import EngineServer
    from gemmahub.memory import MachineMemory, MemoryPlan

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Held:
    """A model and its engine, None while it is not loaded. ``users`` counts answers in work,
    ``used`` is when one last ended."""

    offered: Offered
    plan: MemoryPlan
    slots: asyncio.Semaphore
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    server: EngineServer | None = None
    users: int = 0
    used: float = 0.0
    failure: GemmahubError | None = None
    leaving: bool = False
    loading: asyncio.Task[None] | None = None
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def leave(self) -> None:
        """One user less."""
        self.users -= 1
        self.used = monotonic()
        if not self.users:
            self.idle.set()


class Supervisor:
    """The models, by the names that clients use.

    ``launch`` starts an engine with a key, in a thread; ``measure`` says what is free now, None
    where that is simulated. ``say`` is told what a person should hear.
    """

    def __init__(
        self,
        served: PlannedModels,
        launch: Callable[[Offered, MemoryPlan, str], EngineServer],
        measure: Callable[[], MachineMemory | None],
        say: Callable[[str], None],
    ) -> None:
        self.models = tuple(
            Held(each, served.plans[each.name], asyncio.Semaphore(served.wish.parallel))
            for each in served.models
        )
        self._names = {name.casefold(): h for h in self.models for name in h.offered.names}
        self._room = served.room
        self._launch, self._measure, self._say = launch, measure, say
        self._swap = asyncio.Lock()

    def find(self, name: str) -> Held | None:
        """The model of that name; the only one where the name is empty."""
        if not name and len(self.models) == 1:
            return self.models[0]
        return self._names.get(name.casefold())

    @asynccontextmanager
    async def use(self, held: Held, *, answer: bool) -> AsyncIterator[EngineServer]:
        """Its engine, loaded where it is not; for an ``answer`` in one of its slots, which are
        given in the order of asking. It stays loaded inside.

        Raises: DoesNotFit, BackendError.
        """
        async with held.slots if answer else nullcontext():
            server = await self._ready(held)
            try:
                yield server
            finally:
                held.leave()

    async def load(self, held: Held) -> None:
        """Load it where it is not loaded. Raises: DoesNotFit, BackendError."""
        await self._ready(held)
        held.leave()

    def lost(self, held: Held, server: EngineServer) -> None:
        """An engine does not answer any more: it is ended, and the next request loads it again."""
        if held.server is server:
            held.server = None
            self._say(f"the engine of {one_line(held.offered.name)} ended unexpectedly")
            _background(server.close)

    async def unload(self, held: Held) -> bool:
        """Give back its memory once nobody waits for an answer of it; whether it was loaded."""
        async with self._swap:
            was_loaded = held.server is not None
            await self._leave([held])
        return was_loaded

    async def close(self) -> None:
        """End all engines."""
        servers = [held.server for held in self.models if held.server is not None]
        for held in self.models:
            held.server = None
            if held.loading is not None:
                held.loading.cancel()
        await asyncio.gather(*(in_thread(s.close) for s in servers), return_exceptions=True)

    async def _ready(self, held: Held) -> EngineServer:
        """Its engine, with one user more. What loads it goes on where the client goes away."""
        while held.server is None or held.leaving:
            if held.loading is None:
                held.loading = asyncio.create_task(self._bring(held))
                held.loading.add_done_callback(lambda task: _forget(held, task))
            await asyncio.shield(held.loading)
        held.users += 1
        held.idle.clear()
        return held.server

    async def _bring(self, held: Held) -> None:
        async with self._swap:
            if held.server is not None:
                return
            victims = await in_thread(lambda: self._victims(held))
            if held.failure is not None and victims:
                raise held.failure  # it would cost another model its place again
            await self._leave(victims)
            started = monotonic()
            name = one_line(held.offered.name)
            self._say(f"loading {name}")
            try:
                held.server = await in_thread(
                    lambda: self._launch(held.offered, held.plan, held.key)
                )
            except GemmahubError as error:
                held.failure = error
                self._say(f"{name} cannot be loaded: {one_line(error.message, 300)}")
                raise
            held.failure, held.used = None, monotonic()
            total = format_gib(held.plan.total_bytes)
            self._say(f"{name} was loaded in {held.used - started:.1f} s and uses {total}")

    def _victims(self, held: Held) -> list[Held]:
        """Those that have to go for it, the least recently used first. Raises: DoesNotFit."""
        loaded = [other for other in self.models if other.server is not None]
        free = [other for other in loaded if not other.offered.pinned]
        free.sort(key=lambda other: (other.users > 0, other.used))
        now = self._measure()
        going: list[Held] = []
        while True:
            room = without(self._room, [o.plan for o in loaded if o not in going])
            if now is not None:
                room = smaller(room, now, [other.plan for other in going])
            plan = held.offered.sized.again(held.plan, room)
            if plan.fits:
                return going
            if not free:
                raise does_not_fit(held.offered.name, plan)
            going.append(free.pop(0))

    async def _leave(self, going: list[Held]) -> None:
        """Unload these, each as soon as nobody uses it."""
        for held in going:
            held.leaving = True
        try:
            for held in going:
                while held.users:
                    await held.idle.wait()
                server, held.server = held.server, None
                if server is not None:
                    await in_thread(server.close)
                    self._say(f"{one_line(held.offered.name)} was unloaded")
        finally:
            for held in going:
                held.leaving = False


def _forget(held: Held, task: asyncio.Task[None]) -> None:
    held.loading = None
    if not task.cancelled():
        task.exception()  # whoever waits has it; where nobody does, nobody is told


async def in_thread(function: Callable[[], T]) -> T:
    """What a function gives that may take long. Its thread does not hold up the end of the program:
    engines that are half loaded then end with it."""
    loop, done = asyncio.get_running_loop(), asyncio.Future[Any]()

    def settle(put: Callable[[Any], None], value: Any) -> None:
        def once() -> None:
            if not done.done():
                put(value)

        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(once)

    def work() -> None:
        try:
            settle(done.set_result, function())
        except GemmahubError as error:
            settle(done.set_exception, error)
        except Exception as error:  # noqa: BLE001 - the border of a thread
            said = one_line(f"{type(error).__name__}: {error}", 300)
            settle(done.set_exception, LoadFailed(said, "report this bug"))

    _background(work)
    found: T = await done
    return found


def _background(function: Callable[[], object]) -> None:
    threading.Thread(target=function, daemon=True).start()
