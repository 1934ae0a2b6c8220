"""``gemmahub --web``: the UI in a real browser."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.programs import free_port
from tests.tui.web_support import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Frames as they are drawn: the page's terminal keeps its text in a canvas, so it is looked at on
# its way there.
_WIDTHS = """
(() => {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = "100px 'Roboto Mono'";
  return ["W", ..."─━│┄╸▁█▏■▲▶▸▼▾●✓✗←→⏎⠁⣿"].map((one) => pen.measureText(one).width);
})()
"""
_WATCH = """
(() => {
  window.seen = "";
  const Real = window.WebSocket;
  window.WebSocket = class extends Real {
    constructor(...rest) {
      super(...rest);
      this.addEventListener("message", async (event) => {
        const data = event.data;
        if (typeof data === "string") { window.seen += data; return; }
        const bytes = data instanceof Blob ? await data.arrayBuffer() : data;
        window.seen += new TextDecoder().decode(bytes);
      });
    }
  };
})();
"""


async def test_the_ui_comes_through_the_websocket() -> None:
    with served() as server:
        async with server.window() as window:
            await window.until("gemmahub", "precision")


@asynccontextmanager
async def browsed(folder: Path, address: str, size: tuple[int, int]) -> AsyncIterator[Page]:
    """A page of a real browser that shows the UI of an address."""
    debugging = free_port()
    browser = await asyncio.create_subprocess_exec(
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu",
        f"--user-data-dir={folder / 'browser'}", f"--remote-debugging-port={debugging}",
        "about:blank", stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(120), aiohttp.ClientSession() as client:
            page = await Page.open(client, debugging)
            await page.call("Page.enable")
            width, height = size  # a window of the browser is never narrower than 500
            await page.call(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=height, deviceScaleFactor=1, mobile=False,
            )  # fmt: skip
            await page.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
            await page.call("Page.navigate", url=address)
            await page.until("(window.seen || '').includes('gemma-3')")
            yield page
            shot = await page.call("Page.captureScreenshot")
            if shots := os.environ.get("GEMMAHUB_SHOTS"):
                Path(shots, f"web-{width}.png").write_bytes(base64.b64decode(shot["data"]))
            await page.close()
    finally:
        browser.kill()
        await browser.wait()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
async def test_the_ui_in_a_real_browser(tmp_path: Path) -> None:
    with served() as server:
        async with browsed(tmp_path, server.address, (1280, 800)) as page:
            assert await page.value("document.title") == "gemmahub"
            await page.press("?")  # nobody clicked: the terminal has the focus
            await page.until("window.seen.includes('Recommended settings')")
            await page.until("location.href === " + json.dumps(f"{server.base}/"))
            history = await page.call("Page.getNavigationHistory")
            assert not [e for e in history["entries"] if server.token in e["url"]]
            await page.press("?")  # back from the keys
            while not await page.value("document.body.matches('.-closed')"):
                await page.press("q")
                await asyncio.sleep(0.3)
            await page.until("document.activeElement.matches('.ended a')")  # Enter starts another


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
async def test_every_symbol_is_as_wide_as_a_letter(tmp_path: Path) -> None:
    with served() as server:
        async with browsed(tmp_path, server.address, (400, 800)) as page:
            faces = "[...document.fonts].filter((font) => font.status === 'loaded').length"
            assert await page.value(faces) == 3
            wide, *others = await page.value(_WIDTHS)
            assert wide > 0
            assert [round(width / wide, 2) for width in others] == [1.0] * len(others)
            assert await page.value("document.documentElement.scrollWidth <= innerWidth")
            rows = "document.querySelector('.xterm-helper-textarea').closest('.xterm').clientWidth"
            assert await page.value(rows) <= 400


class Page:
    """A page of the browser, by its debugging protocol."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket_
        self._number = 0

    @classmethod
    async def open(cls, client: aiohttp.ClientSession, port: int) -> Page:
        """The first page, as soon as the browser answers."""
        while True:
            try:
                async with client.get(f"http://127.0.0.1:{port}/json") as answer:
                    pages = [p for p in await answer.json() if p["type"] == "page"]
            except aiohttp.ClientConnectionError:
                pages = []
            if pages:
                return cls(await client.ws_connect(pages[0]["webSocketDebuggerUrl"]))
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Let go of the page."""
        await self._socket.close()

    async def call(self, method: str, **arguments: Any) -> Any:
        """Call a method, and wait for its answer."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": arguments})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    async def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until an expression is true in the page."""
        while not await self.value(condition):
            await asyncio.sleep(0.1)

    async def press(self, key: str) -> None:
        """Type a character."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=key, key=key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)
