"""``gemmahub --web``: the UI in a real browser."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.programs import free_port
from tests.tui.web_support import served

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Frames as they are drawn: the page's terminal keeps its text in a canvas, so it is looked at on
# its way there.
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


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
async def test_the_ui_in_a_real_browser(tmp_path: Path) -> None:
    debugging = free_port()
    with served() as server:
        browser = await asyncio.create_subprocess_exec(
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,800",
            f"--user-data-dir={tmp_path / 'browser'}", f"--remote-debugging-port={debugging}",
            "about:blank", stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(120), aiohttp.ClientSession() as client:
                page = await Page.open(client, debugging)
                await page.call("Page.enable")
                await page.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
                await page.call("Page.navigate", url=server.address)
                await page.until("(window.seen || '').includes('gemma-3')")
                await page.click(300, 300)
                await page.press("?")
                await page.until("window.seen.includes('Recommended settings')")
                await page.until("location.href === " + json.dumps(f"{server.base}/"))
                history = await page.call("Page.getNavigationHistory")
                assert not [e for e in history["entries"] if server.token in e["url"]]
                shot = await page.call("Page.captureScreenshot")
                (tmp_path / "web.png").write_bytes(base64.b64decode(shot["data"]))
                if os.environ.get("GEMMAHUB_SHOTS"):
                    shutil.copy(tmp_path / "web.png", os.environ["GEMMAHUB_SHOTS"])
        finally:
            browser.kill()
            await browser.wait()


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

    async def call(self, method: str, **arguments: Any) -> Any:
        """Call a method, and wait for its answer."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": arguments})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    async def until(self, condition: str) -> None:
        """Wait until an expression is true in the page."""
        while True:
            found = await self.call("Runtime.evaluate", expression=condition)
            if found["result"].get("value"):
                return
            await asyncio.sleep(0.1)

    async def click(self, x: int, y: int) -> None:
        """Click, which also gives the page the focus."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    async def press(self, key: str) -> None:
        """Type a character."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=key, key=key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)
