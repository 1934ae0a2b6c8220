"""Which model is loaded and which has to go, with engines that only count."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

import gemmahub
from gemmahub.errors import DoesNotFit, LoadFailed
from gemmahub.memory import MachineMemory
from gemmahub.service.serving.choosing import offered, planned
from gemmahub.service.serving.room import Wish, without
from gemmahub.service.serving.supervisor import Held, Supervisor
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.memory import MemoryPlan
    from gemmahub.service.serving.choosing import Offered


@dataclass
class Engines:
    """What was started and ended, in order; ``broken`` cannot be, ``gate`` is waited for."""

    log: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    gate: threading.Event | None = None
    free: MachineMemory | None = None

    def launch(self, model: Offered, plan: MemoryPlan, key: str) -> Any:
        name = model.name[-6]
        assert len(key) >= 32
        if self.gate is not None:
            self.gate.wait()
        self.log.append(f"+{name}")
        if name in self.broken:
            raise LoadFailed("it is broken", "download it again")
        return Engine(self, name)


@dataclass
class Engine:
    engines: Engines
    name: str
    address: str = "http://127.0.0.1:1"
    info: Any = None

    def close(self) -> None:
        self.engines.log.append(f"-{self.name}")


@pytest.fixture
def three(tmp_path: Path) -> list[str]:
    """Three models of the same size: a, b, c."""
    paths = [tmp_path / f"{name}.gguf" for name in "abc"]
    for seed, path in enumerate(paths):
        write_model(path, seed=seed)
    return [str(path) for path in paths]


def supervised(
    three: list[str], engines: Engines, fitting: float, pinned: str = ""
) -> tuple[Supervisor, list[Held]]:
    """A supervisor with room for so many of the three."""
    pins = [path for path in three if path[-6] in pinned]
    models = offered(gemmahub.open(), three, pins)
    wish = Wish(context=512)
    size = planned(models, wish, room(1 << 40)).plans[three[0]].total_bytes
    served = planned(models, wish, room(round(size * fitting)))
    said: list[str] = []
    found = Supervisor(served, engines.launch, lambda: engines.free, said.append)
    by_name = {held.offered.name: held for held in found.models}
    return found, [by_name[path] for path in three]


def room(free: int) -> MachineMemory:
    return MachineMemory((), 1 << 40, free)


async def use(supervisor: Supervisor, *models: Held) -> None:
    for held in models:
        async with supervisor.use(held, answer=True):
            pass


async def test_the_least_recently_used_gives_way(three: list[str]) -> None:
    engines = Engines()
    supervisor, (a, b, c) = supervised(three, engines, 2.5)
    await use(supervisor, a, b, a, c, b)
    assert engines.log == ["+a", "+b", "-b", "+c", "-a", "+b"]
    await supervisor.close()
    assert sorted(engines.log[-2:]) == ["-b", "-c"]


async def test_all_stay_where_all_fit(three: list[str]) -> None:
    engines = Engines()
    supervisor, (a, b, c) = supervised(three, engines, 3.1)
    await use(supervisor, a, b, c, a, b, c)
    assert engines.log == ["+a", "+b", "+c"]


async def test_a_pinned_one_never_gives_way(three: list[str]) -> None:
    engines = Engines()
    supervisor, (a, b, c) = supervised(three, engines, 2.5, pinned="a")
    await use(supervisor, a, b, c, b)
    assert engines.log == ["+a", "+b", "-b", "+c", "-c", "+b"]


async def test_nothing_is_unloaded_for_one_that_has_no_room_anyway(three: list[str]) -> None:
    """Another program took what was free."""
    engines = Engines()
    supervisor, (a, b, c) = supervised(three, engines, 2.5, pinned="a")
    await use(supervisor, a, b)
    engines.free = room(0)
    await use(supervisor, a)
    supervisor.lost(b, b.server)  # type: ignore[arg-type]
    with pytest.raises(DoesNotFit, match="does not fit"):
        await use(supervisor, c)
    assert "-a" not in engines.log


async def test_a_broken_model_costs_another_its_place_once_at_most(three: list[str]) -> None:
    engines = Engines(broken={"b"})
    supervisor, (a, b, _) = supervised(three, engines, 1.5)
    await use(supervisor, a)
    for _ in range(3):
        with pytest.raises(LoadFailed, match="it is broken"):
            await use(supervisor, b)
        await use(supervisor, a)
    assert engines.log == ["+a", "-a", "+b", "+a"]
    engines.broken.clear()
    await supervisor.unload(a)
    await use(supervisor, b)  # it costs nobody anything
    assert engines.log[-2:] == ["-a", "+b"]


async def test_many_who_ask_at_once_load_it_once(three: list[str]) -> None:
    engines = Engines()
    supervisor, (a, *_) = supervised(three, engines, 2.5)
    await asyncio.gather(*(use(supervisor, a) for _ in range(50)))
    assert engines.log == ["+a"]


async def test_an_answer_in_progress_finishes_and_waiting_clients_keep_their_order(
    three: list[str],
) -> None:
    engines = Engines()
    supervisor, (a, b, _) = supervised(three, engines, 1.5)
    order: list[str] = []

    async def ask(held: Held) -> None:
        async with supervisor.use(held, answer=False):
            order.append(held.offered.name[-6])
            await asyncio.sleep(0)

    async with supervisor.use(a, answer=False):
        other = asyncio.create_task(ask(b))
        while not a.leaving:
            await asyncio.sleep(0.001)
        again = [asyncio.create_task(ask(a)) for _ in range(3)]
        await asyncio.sleep(0)
        assert engines.log == ["+a"]
    await asyncio.gather(other, *again)
    assert order == ["b", "a", "a", "a"]
    assert engines.log == ["+a", "-a", "+b", "-b", "+a"]


async def test_who_goes_away_while_it_is_loaded_leaves_it_loaded_for_the_next(
    three: list[str],
) -> None:
    engines = Engines(gate=threading.Event())
    supervisor, (a, *_) = supervised(three, engines, 1.5)
    first = asyncio.create_task(use(supervisor, a))
    while a.loading is None:
        await asyncio.sleep(0.001)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert engines.gate is not None
    engines.gate.set()
    await use(supervisor, a)
    assert engines.log == ["+a"]
    assert a.users == 0
    assert await supervisor.unload(a)
    assert engines.log == ["+a", "-a"]


async def test_slots_are_given_in_the_order_of_asking(three: list[str]) -> None:
    engines = Engines()
    supervisor, (a, *_) = supervised(three, engines, 1.5)
    order: list[int] = []
    at_once: list[int] = []

    async def ask(number: int) -> None:
        async with supervisor.use(a, answer=True):
            at_once.append(a.users)
            await asyncio.sleep(0.001)
            order.append(number)

    await asyncio.gather(*(ask(number) for number in range(16)))
    assert order == list(range(16))
    assert set(at_once) == {1}


async def test_an_engine_that_was_lost_is_ended_and_started_again(three: list[str]) -> None:
    engines = Engines()
    supervisor, (a, *_) = supervised(three, engines, 1.5)
    await use(supervisor, a)
    gone = a.server
    assert gone is not None
    supervisor.lost(a, gone)
    await use(supervisor, a)
    supervisor.lost(a, gone)  # heard late: the new one stays
    await use(supervisor, a)
    assert sorted(engines.log) == ["+a", "+a", "-a"]


def test_contexts_shrink_until_all_fit_together(three: list[str]) -> None:
    models = offered(gemmahub.open(), three)
    wide = planned(models, Wish(), room(1 << 40))
    assert {plan.settings.context for plan in wide.plans.values()} == {4096}  # as trained
    small = planned(models, Wish(context=256, parallel=2), room(1 << 40))
    assert {plan.settings.context for plan in small.plans.values()} == {512}
    left = without(room(1 << 40), wide.plans.values())
    total = sum(plan.total_bytes for plan in wide.plans.values())
    assert left.host_free_bytes == (1 << 40) - total
    assert planned(models, Wish(), room(total)).fit_together
    assert not planned(models, Wish(), room(total - 1)).fit_together
