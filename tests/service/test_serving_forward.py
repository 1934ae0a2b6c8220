"""What passes between clients and engines, with an engine that answers as a test wants."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

import gemmahub
from gemmahub.memory import MachineMemory
from gemmahub.service.serving import forward, requests
from gemmahub.service.serving.choosing import offered, planned
from gemmahub.service.serving.forward import Forward
from gemmahub.service.serving.requests import Desk
from gemmahub.service.serving.room import Wish
from gemmahub.service.serving.supervisor import Held, Supervisor
from gemmahub.service.serving.visitors import Visitors
from gemmahub.testing.model_writer import write_model
from tests.service.serving_support import HELLO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CHAT = "/v1/chat/completions"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"


@dataclass
class Engine:
    """Sends ``pieces``, then waits for the client to go, where it is not to close by itself."""

    pieces: list[bytes]
    closes: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""
    info: Any = None

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(line for line in head.splitlines() if line.startswith(b"Content-Length"))
        await reader.readexactly(int(size.split()[1]))
        for piece in self.pieces:
            writer.write(piece)
        await writer.drain()
        self.asked.set()
        if not self.closes:
            await reader.read()
        writer.close()
        self.left.set()

    def close(self) -> None:
        """Nothing."""


@dataclass
class Client:
    """An ASGI client. ``goes`` is set when it goes away; ``takes`` when it takes what is sent."""

    body: Any
    path: str = CHAT
    goes: asyncio.Event = field(default_factory=asyncio.Event)
    stuck: bool = False
    sent: list[dict[str, Any]] = field(default_factory=list)
    _asked: bool = False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": json.dumps(self.body).encode()}
        await self.goes.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def text(self) -> str:
        return b"".join(m.get("body", b"") for m in self.sent).decode()

    async def ask(self, app: Forward) -> None:
        scope: Any = {"type": "http", "method": "POST", "path": self.path, "headers": []}
        await app(scope, self.receive, self.send)


@asynccontextmanager
async def front(path: Path, engine: Engine) -> AsyncIterator[tuple[Forward, Held]]:
    """The front with one model, which this engine holds."""
    write_model(path / "tiny.gguf")
    models = offered(gemmahub.open(), [str(path / "tiny.gguf")])
    served = planned(models, Wish(512), MachineMemory((), 1 << 40, 1 << 40))
    supervisor = Supervisor(served, lambda *_: engine, lambda: None, lambda _: None)
    server = await asyncio.start_server(engine.answer, "127.0.0.1", 0)
    engine.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    app = Forward(supervisor, Desk(), Visitors())
    try:
        yield app, supervisor.models[0]
    finally:
        await app.close()
        server.close()


def event(text: str) -> bytes:
    return f"data: {json.dumps({'text': text})}\n\n".encode()


@pytest.mark.parametrize("pieces", [[], [STREAM, event("a")]], ids=["before", "in mid-stream"])
async def test_a_client_that_goes_away_ends_the_engines_work(
    pieces: list[bytes], tmp_path: Path
) -> None:
    engine, client = Engine(pieces), Client({"messages": HELLO})
    async with front(tmp_path, engine) as (app, held):
        asking = asyncio.create_task(client.ask(app))
        await engine.asked.wait()
        assert held.users == 1
        client.goes.set()
        await asking
        await engine.left.wait()
        assert held.users == 0
        assert not held.slots.locked()


async def test_a_client_that_waits_for_a_slot_and_goes_away_never_reaches_the_engine(
    tmp_path: Path,
) -> None:
    engine, client = Engine([]), Client({"messages": HELLO})
    async with front(tmp_path, engine) as (app, held):
        async with held.slots:
            asking = asyncio.create_task(client.ask(app))
            await asyncio.sleep(0.01)
            client.goes.set()
            await asking
        assert not engine.asked.is_set()
        assert client.sent == []


async def test_a_client_that_reads_nothing_frees_its_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "_SEND_SECONDS", 0.01)
    engine, client = Engine([STREAM, event("a")]), Client({"messages": HELLO}, stuck=True)
    async with front(tmp_path, engine) as (app, held):
        await client.ask(app)
        assert held.users == 0
        await engine.left.wait()


async def test_who_asks_is_known_and_how_it_went(tmp_path: Path) -> None:
    engine, client = Engine([STREAM, event("a")]), Client({"messages": HELLO})

    def states(app: Forward) -> list[tuple[str, str]]:
        return [(row["state"], row["model"]) for row in app._visitors.as_json()]

    async with front(tmp_path, engine) as (app, held):
        name = held.offered.name
        async with held.slots:
            asking = asyncio.create_task(client.ask(app))
            await asyncio.sleep(0.01)
            assert states(app) == [("waiting", name)]
        while not client.sent:
            await asyncio.sleep(0.001)
        assert states(app) == [("answering", name)]
        client.goes.set()
        await asking
        await Client({"messages": HELLO, "model": "no\x1b[2Jne"}).ask(app)
        assert states(app) == [("failed", ""), ("left", name)]
        assert "there is no model" in app._visitors.as_json()[0]["said"]
        assert "\x1b" not in app._visitors.as_json()[0]["said"]
        for _ in range(60):
            await Client({"model": "none"}).ask(app)
        assert len(states(app)) == 50


async def test_pieces_reach_the_client_one_by_one_as_they_came(tmp_path: Path) -> None:
    engine = Engine([STREAM, event("a")])
    client = Client({"messages": HELLO})
    async with front(tmp_path, engine) as (app, _):
        asking = asyncio.create_task(client.ask(app))
        while len(client.sent) < 2:  # though the engine has not ended
            await asyncio.sleep(0.001)
        assert client.sent[1] == {
            "type": "http.response.body", "body": event("a"), "more_body": True
        }  # fmt: skip
        client.goes.set()
        await asking


@pytest.mark.parametrize(
    ("pieces", "status", "said"),
    [
        ([b"nonsense\r\n\r\n"], 502, "ended during its answer"),
        ([], 502, "ended during its answer"),
        (
            [JSON.replace(b"close", b"close\r\ncontent-length: 99"), b"{"],
            502,
            "ended during its answer",
        ),
        ([b"HTTP/1.1 500 X\r\n\r\n", b"no json"], 500, "the engine answers HTTP 500"),
        (
            [b"HTTP/1.1 500 X\r\n\r\n", b'{"error":{"message":"\\u001b[2J boom","type":5}}'],
            500,
            "boom",
        ),
        (
            [b"HTTP/1.1 400 X\r\n\r\n", b'{"error":{"message":"no","type":"bad","n_ctx":7}}'],
            400,
            '"n_ctx":7',
        ),
    ],
)
async def test_what_an_engine_says_instead_of_an_answer_is_an_error_of_the_api(
    pieces: list[bytes], status: int, said: str, tmp_path: Path
) -> None:
    for path, outer in ((CHAT, None), ("/v1/messages", "error")):
        client = Client({"messages": HELLO}, path)
        async with front(tmp_path, Engine(pieces, closes=True)) as (app, _):
            await client.ask(app)
        assert client.status == status
        found = json.loads(client.text)
        assert found.get("type") == outer
        assert "\x1b" not in found["error"]["message"]
        if outer is None:
            assert said in client.text


async def test_an_answer_without_end_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "_ANSWER_BYTES", 1 << 20)
    client = Client({"messages": HELLO})
    async with front(tmp_path, Engine([JSON, b" " * (2 << 20)], closes=True)) as (app, held):
        await client.ask(app)
        assert (client.status, "more than 1 MiB" in client.text) == (502, True)
        assert held.users == 0


async def test_requests_beyond_the_most_are_refused_and_give_their_place_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST_REQUESTS", 3)
    engine = Engine([JSON, b'{"done": true}'], closes=True)
    async with front(tmp_path, engine) as (app, held):
        async with held.slots:
            waiting = [Client({"messages": HELLO}) for _ in range(3)]
            asking = [asyncio.create_task(client.ask(app)) for client in waiting]
            await asyncio.sleep(0.01)
            late = Client({"messages": HELLO})
            await late.ask(app)
            assert late.status == 503
        await asyncio.gather(*asking)
        assert [client.text for client in waiting] == ['{"done": true}'] * 3
        after = Client({"messages": HELLO})
        await after.ask(app)
        assert after.status == 200


async def test_bodies_that_are_too_many_bytes_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "ALL_BYTES", 3000)
    body = {"messages": [{"role": "user", "content": "x" * 2000}]}
    async with front(tmp_path, Engine([JSON, b"{}"], closes=True)) as (app, held):
        async with held.slots:
            first, second = Client(body), Client(body)
            asking = asyncio.create_task(first.ask(app))
            await asyncio.sleep(0.01)
            await second.ask(app)
            assert second.status == 503
        await asking
        assert first.status == 200
        third = Client(body)
        await third.ask(app)
        assert third.status == 200
