"""From a client to an engine and back, piece by piece as it comes."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import httpx2
from starlette.requests import ClientDisconnect, Request

from gemmahub.errors import GemmahubError
from gemmahub.service.serving.api_errors import (
    ANTHROPIC,
    ApiError,
    api_error,
    body_of,
    engine_error,
    response_of,
)
from gemmahub.service.serving.requests import Desk, check, model_name, with_thinking

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from gemmahub.engines.contract import EngineServer
    from gemmahub.service.serving.supervisor import Held, Supervisor
    from gemmahub.service.serving.visitors import Visit, Visitors

_ERROR_BYTES: Final = 1 << 20
_ANSWER_BYTES: Final = 64 << 20
_CONNECT_SECONDS: Final = 5.0
_SEND_SECONDS: Final = 60.0
"""How long a client may take no piece of its answer: it holds a slot."""
_EVENTS: Final = "text/event-stream"
_NO_ANSWERS: Final = ("/v1/messages/count_tokens",)


class Forward:
    """An ASGI application that passes requests on to the engine of the model that they name.

    A client that goes away ends its request, wherever it is: its engine stops.
    """

    def __init__(self, supervisor: Supervisor, desk: Desk, visitors: Visitors) -> None:
        self._supervisor = supervisor
        self._desk = desk
        self._visitors = visitors
        # A connection each: llama-server keeps a thread for one that is open.
        self._web = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, answer = Request(scope, receive), _Answer(send, scope["path"])
        with suppress(ClientDisconnect), self._visitors.visit(request) as visit:
            try:
                with self._desk.place() as sizes:
                    body = await self._desk.read(request, sizes)
                    await _while_there(receive, self._work(visit, body, answer))
            except (GemmahubError, ApiError) as error:
                failure = error if isinstance(error, ApiError) else api_error(error)
                visit.fail(failure)
                await answer.fail(failure, scope, receive)

    async def close(self) -> None:
        """Give back connections."""
        await self._web.aclose()

    async def _work(self, visit: Visit, body: dict[str, Any], answer: _Answer) -> None:
        path, name = visit.path, model_name(body)
        held = self._supervisor.find(name)
        if held is None:
            names = ", ".join(each.offered.name for each in self._supervisor.models[:20])
            said = f"there is no model {name[:80]!r} here" if name else "'model' is missing"
            raise ApiError(404 if name else 400, f"{said}; available: {names}", "model_not_found")
        visit.model = held.offered.name
        embeds = held.offered.variant.embeds
        check(body, path, has_tools=held.offered.has_tools, embeds=embeds)
        asked = with_thinking(body, path) | {"model": held.offered.name}
        content = json.dumps(asked).encode("utf-8", "replace")
        del body, asked
        for again in (True, False):
            if await self._ask(held, visit, content, answer, again=again):
                return

    async def _ask(
        self, held: Held, visit: Visit, content: bytes, answer: _Answer, *, again: bool
    ) -> bool:
        """Whether it was answered; not where the engine was gone before, and it is worth trying
        ``again``."""
        async with self._supervisor.use(held, answer=visit.path not in _NO_ANSWERS) as server:
            visit.state = "answering"
            try:
                await self._exchange(held, server, visit.path, content, answer)
            except httpx2.ConnectError:
                self._supervisor.lost(held, server)
                if not again:
                    raise _broken(held) from None
                return False
            except httpx2.HTTPError:
                self._supervisor.lost(held, server)
                raise _broken(held) from None
        return True

    async def _exchange(
        self, held: Held, server: EngineServer, path: str, content: bytes, answer: _Answer
    ) -> None:
        headers = {"Authorization": f"Bearer {held.key}", "Content-Type": "application/json"}
        asked = self._web.stream("POST", server.address + path, content=content, headers=headers)
        async with asked as found:
            kind = found.headers.get("content-type", "")
            if found.status_code >= 400:
                raise engine_error(found.status_code, await _whole(found, _ERROR_BYTES))
            if not kind.startswith(_EVENTS):
                await answer.whole(kind, await _whole(found, _ANSWER_BYTES))
                return
            await answer.begin(kind)
            async for piece in found.aiter_raw():
                await answer.piece(piece)
            await answer.end()


class _Answer:
    """What a client gets; once it has begun, an error is an event of the stream."""

    def __init__(self, send: Send, path: str) -> None:
        self._send, self._path = send, path
        self._begun = False

    async def begin(self, kind: str, *more: tuple[bytes, bytes]) -> None:
        headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-cache"), *more]
        await self._say({"type": "http.response.start", "status": 200, "headers": headers})
        self._begun = True

    async def piece(self, content: bytes) -> None:
        await self._say({"type": "http.response.body", "body": content, "more_body": True})

    async def end(self, content: bytes = b"") -> None:
        await self._say({"type": "http.response.body", "body": content})

    async def whole(self, kind: str, content: bytes) -> None:
        await self.begin(kind, (b"content-length", str(len(content)).encode()))
        await self.end(content)

    async def fail(self, error: ApiError, scope: Scope, receive: Receive) -> None:
        if not self._begun:
            await response_of(error, self._path)(scope, receive, self._send)
            return
        said = json.dumps(body_of(error, self._path))
        event = "event: error\n" if self._path.startswith(ANTHROPIC) else ""
        with suppress(ClientDisconnect):
            await self.end(f"{event}data: {said}\n\n".encode())

    async def _say(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._send(message)
        except TimeoutError:
            raise ClientDisconnect from None


def _broken(held: Held) -> ApiError:
    return ApiError(502, f"the engine of {held.offered.name} ended during its answer: ask again")


async def _whole(found: httpx2.Response, most: int) -> bytes:
    pieces, size = [], 0
    async for piece in found.aiter_raw():
        size += len(piece)
        if size > most:
            raise ApiError(502, f"the engine's answer has more than {most >> 20} MiB")
        pieces.append(piece)
    return b"".join(pieces)


async def _while_there(receive: Receive, work: Any) -> None:
    """Do the work, and give it up when the client goes away. Raises: ClientDisconnect."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        await working
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
