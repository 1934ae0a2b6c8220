"""One window of the browser: a UI process of its own, which lives no longer than its WebSocket.

It is Python of ours, watches its lifeline itself, and talks to the event loop through its pipes, so
it is no program of :mod:`gemmahub.engines.program`; the log and how an end is told are the same.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiohttp import WSCloseCode, WSMsgType

from gemmahub.engines.process import explain_exit, start_python_in_loop
from gemmahub.engines.program_log import ProgramLog
from gemmahub.text import one_line
from gemmahub.tui.web import protocol

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp.web import WebSocketResponse

_READY: Final = b"__GANGLION__\n"  # the first line of Textual's web driver
_PRELUDE_LINES: Final = 10
_PATIENCE_SECONDS: Final = 3.0
_PIECE_BYTES: Final = 65536


class WebSession:
    """A UI process and the WebSocket that shows it."""

    def __init__(self, websocket: WebSocketResponse, report: Callable[[str], None]) -> None:
        self._websocket = websocket
        self._report = report
        self._log = ProgramLog()

    async def run(self, size: tuple[int, int], files: Path) -> None:
        """Until either side ends; the process has ended afterwards."""
        process = await start_python_in_loop(
            "gemmahub.tui", str(files), environment=_environment(size)
        )
        log = asyncio.create_task(self._keep_log(process))
        both = [
            asyncio.create_task(self._show(process)),
            asyncio.create_task(self._take_input(process)),
        ]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if both[0] in done:
                await self._report_failure(process, log)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            await _end(process)
            log.cancel()

    async def _show(self, process: Process) -> None:
        """Send what the UI draws, until it ends."""
        output = process.stdout
        assert output is not None
        for _ in range(_PRELUDE_LINES):
            if (line := await output.readline()) == _READY or not line:
                break
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, size = await output.readexactly(1), await output.readexactly(4)
                if (length := int.from_bytes(size, "big")) > protocol.MAX_PACKET_BYTES:
                    return
                payload = await output.readexactly(length)
                if kind == b"D":
                    await self._websocket.send_bytes(payload)
                elif kind == b"M" and not await self._obey(json.loads(payload)):
                    return

    async def _obey(self, wish: dict[str, object]) -> bool:
        """What the UI asks of the page; False when it ends."""
        if wish.get("type") == "open_url" and protocol.is_web_address(wish.get("url")):
            address = {"url": wish["url"], "new_tab": True}
            await self._websocket.send_json(["open_url", address])
        return wish.get("type") != "exit"

    async def _take_input(self, process: Process) -> None:
        """Pass on what the page sends, as fast as the UI takes it."""
        pipe = process.stdin
        async for message in self._websocket:
            if message.type != WSMsgType.TEXT or pipe is None:
                continue
            try:
                kind, content = protocol.read_message(message.data)
            except ValueError:
                await self._websocket.close(code=WSCloseCode.POLICY_VIOLATION)
                return
            if kind == "ping" and (pong := protocol.pong_for(content)):
                await self._websocket.send_json(pong)
            elif packet := protocol.packet_for(kind, content):
                pipe.write(packet)
                await pipe.drain()

    async def _keep_log(self, process: Process) -> None:
        output = process.stderr
        assert output is not None
        while piece := await output.read(_PIECE_BYTES):
            self._log.feed(piece)
        self._log.finish()

    async def _report_failure(self, process: Process, log: asyncio.Task[None]) -> None:
        """Say why the UI ended by itself, unless it was left."""
        with suppress(TimeoutError):
            code = await asyncio.wait_for(process.wait(), _PATIENCE_SECONDS)
            await asyncio.wait([log], timeout=_PATIENCE_SECONDS)
            if code:
                how, _ = explain_exit(code)
                self._report(one_line(f"the UI {how}: {self._log.reason()}", 500))


async def _end(process: Process) -> None:
    """Ask the UI to leave; what does not is killed."""
    if process.returncode is not None:
        return
    try:
        with suppress(OSError, RuntimeError):
            if process.stdin is not None:
                process.stdin.write(protocol.about("quit"))
        await asyncio.wait_for(process.wait(), _PATIENCE_SECONDS)
    except TimeoutError:
        return
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _environment(size: tuple[int, int]) -> dict[str, str]:
    """What Textual's web driver reads."""
    return {
        "TEXTUAL_DRIVER": "gemmahub.tui.web.driver:BoundedWebDriver",
        "TEXTUAL_FPS": "60",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "TERM_PROGRAM": "textual",
        "COLUMNS": str(size[0]),
        "ROWS": str(size[1]),
    }
