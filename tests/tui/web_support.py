"""``gemmahub --web`` as a program, and who connects to it."""

from __future__ import annotations

import asyncio
import os
import re
import select
import subprocess
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import aiohttp

from tests.programs import PROGRAM, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

NO_JAR = aiohttp.DummyCookieJar


@dataclass
class Served:
    """A running server: the address that it printed, and its process."""

    address: str
    process: subprocess.Popen[bytes]
    port: int

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.address).query)["token"][0]

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        """The next line on standard error."""
        assert self.process.stderr is not None
        assert select.select([self.process.stderr], [], [], 60)[0], "nothing was said"
        return self.process.stderr.readline().decode()

    async def cookie(self) -> str:
        """What the token is exchanged for."""
        async with (
            aiohttp.ClientSession(cookie_jar=NO_JAR()) as client,
            client.get(self.address, allow_redirects=False) as answer,
        ):
            return answer.headers["Set-Cookie"].partition(";")[0]

    @asynccontextmanager
    async def window(self, query: str = "width=100&height=30") -> AsyncIterator[Window]:
        """A window of the UI, as its owner's browser opens one; its process is gone afterwards."""
        headers = {"Cookie": await self.cookie(), "Origin": self.base}
        before = set(self.children())
        async with aiohttp.ClientSession(cookie_jar=NO_JAR()) as client:
            url = f"{self.base}/ws?{query}"
            async with client.ws_connect(url, headers=headers, max_msg_size=0) as found:
                yield Window(found)
                own = set(self.children()) - before
        await until_gone(own)

    def children(self) -> list[int]:
        return children_of(self.process.pid)


class Window:
    """A WebSocket to a UI, and what it has shown."""

    def __init__(self, found: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = found
        self.shown = ""

    async def until(self, *texts: str) -> None:
        """Wait until all of the texts have been shown; the texts are without line breaks."""
        async with asyncio.timeout(90):
            while not all(text in self.shown for text in texts):
                message = await self.socket.receive()
                if message.type == aiohttp.WSMsgType.BINARY:
                    self.shown += message.data.decode(errors="replace")
                elif message.type == aiohttp.WSMsgType.TEXT:
                    self.shown += message.data
                else:
                    raise AssertionError(f"closed: {message}")

    async def until_closed(self) -> int | None:
        """Wait until the other end closes; its code."""
        async with asyncio.timeout(60):
            while not self.socket.closed:
                await self.socket.receive()
        return self.socket.close_code

    async def send(self, *message: Any) -> None:
        await self.socket.send_json(message)


@contextmanager
def served(
    *options: str, folder: Path | None = None, port: int | None = None, **environment: str
) -> Iterator[Served]:
    """The installed command, once it has said where it is."""
    port = port or free_port()
    with subprocess.Popen(
        [PROGRAM, "--web", "--port", str(port), *options], cwd=folder, bufsize=0,
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm-256color"} | environment,
    ) as process:  # fmt: skip
        try:
            found = Served("", process, port)
            said = found.said()
            match = re.search(r"http://\S+", said)
            assert match, said
            found.address = match[0]
            yield found
        finally:
            process.terminate()


def children_of(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent(int(entry.name)) == pid:
            found += [int(entry.name), *children_of(int(entry.name))]
    return found


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def is_alive(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


async def until_gone(pids: Iterable[int]) -> None:
    """Wait until none of the processes is there any more."""
    async with asyncio.timeout(30):
        while any(map(is_alive, pids)):
            await asyncio.sleep(0.05)


def resident_bytes(pid: int) -> int:
    """The most memory that a process has held so far."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1]) * 1024


def processor_seconds(pid: int) -> float:
    """What a process has used of a processor."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
