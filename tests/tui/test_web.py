"""``gemmahub --web`` as it runs: who is let in, what is refused, and that nothing is left over."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gemmahub.http.place import Place
from gemmahub.tui import themes
from gemmahub.tui.web import server as web_server
from tests.programs import free_port
from tests.tui.web_support import (
    NO_JAR,
    Served,
    is_alive,
    processor_seconds,
    resident_bytes,
    served,
    until_gone,
)
from tests.tui.web_symbols import BRAILLE, RANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.conftest import Result

NOBODY = 65534
MEMORY_BYTES = 600 * 1024 * 1024
"""Of a UI process: one that draws an everyday size holds about 170 MB."""


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """One server for all tests that leave it as it was."""
    with served(GEMMAHUB_STORES="", GEMMAHUB_PLUGINS="echo") as found:
        yield found


@pytest.fixture
def mortal() -> Iterator[Served]:
    """A server of one test, which ends it."""
    with served() as found:
        yield found


async def get(url: str, headers: Mapping[str, str] | None = None) -> aiohttp.ClientResponse:
    async with (
        aiohttp.ClientSession(cookie_jar=NO_JAR()) as client,
        client.get(url, headers=headers, allow_redirects=False) as answer,
    ):
        await answer.read()
        return answer


async def knock(server: Served, headers: Mapping[str, str], query: str = "") -> int:
    """Ask for a window; the status of the answer."""
    async with aiohttp.ClientSession(cookie_jar=NO_JAR()) as client:
        try:
            async with client.ws_connect(f"{server.base}/ws?width=9{query}", headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


# --- the token -----------------------------------------------------------------------------------


async def test_nothing_is_answered_without_the_token(server: Served) -> None:
    for path in ("/", "/ws", "/static/js/textual.js", "/page.js", "/static/", "/none", "//"):
        answer = await get(server.base + path)
        assert answer.status == 403, path
        assert "gemmahub --web printed" in await answer.text()
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert await knock(server, {}) == 403
    assert await knock(server, {"Origin": server.base}) == 403
    assert not server.children()  # nobody was let in, so nothing was started


async def test_a_wrong_token_opens_nothing(server: Served) -> None:
    with served() as other:
        cookie = await other.cookie()
        guesses = ["", "x", server.token[:-1], server.token + "x", other.token, "%00", "%ff", "é"]
        for guess in guesses:
            assert (await get(f"{server.base}/?token={guess}")).status == 403, guess
            assert await knock(server, {}, f"&token={guess}") == 403, guess
        value = cookie.partition("=")[2]
        mine = f"gemmahub-{server.port}"
        for sent in (cookie, f"{mine}={value}", f"{mine}={server.token}", f"{mine}=", "=;;", mine):
            assert await knock(server, {"Cookie": sent}) == 403, sent
            assert (await get(server.base, {"Cookie": sent})).status == 403, sent
        # The right cookie under the other port's name, as a browser never stores it.
        right = (await server.cookie()).partition("=")[2]
        assert await knock(server, {"Cookie": f"gemmahub-{other.port}={right}"}) == 403


async def test_a_token_of_an_earlier_start_opens_nothing() -> None:
    port = free_port()
    with served(port=port) as earlier:
        old, cookie = earlier.address, await earlier.cookie()
    with served(port=port) as server:
        assert (await get(old)).status == 403
        assert await knock(server, {"Cookie": cookie}) == 403
        assert (await get(server.address)).status == 303


async def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(server: Served) -> None:
    answer = await get(f"{server.address}&fontsize=20")
    assert answer.status == 303
    assert answer.headers["Location"] == "/?fontsize=20"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"gemmahub-{server.port}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert server.token not in cookie
    page = await get(f"{server.base}/?fontsize=20", {"Cookie": cookie.partition(";")[0]})
    text = await page.text()
    assert page.status == 200
    assert 'data-font-size="20"' in text
    assert f"ws://127.0.0.1:{server.port}/ws" in text
    assert server.token not in text
    script = await get(f"{server.base}/static/js/textual.js", {"Cookie": cookie.partition(";")[0]})
    assert script.status == 200
    assert "<title>gemmahub</title>" in text
    assert '<script src="/page.js">' in text
    focus = await get(f"{server.base}/page.js", {"Cookie": cookie.partition(";")[0]})
    assert focus.status == 200
    assert "javascript" in focus.headers["Content-Type"]
    assert ".focus()" in await focus.text()


async def test_the_page_finds_all_that_it_loads_here(server: Served) -> None:
    headers = {"Cookie": await server.cookie()}
    page = await get(f"{server.base}/", headers)
    assert page.status == 200
    text = Path(web_server.__file__).with_name("page.html").read_text()
    loaded = re.findall(r"""(?:src|href)="(/[^"]+)"|url\("([^"]+)"\)""", text)
    paths = {first or second for first, second in loaded} - {"/"}
    assert "/symbols.woff2" in paths
    assert len(paths) == 6
    for path in paths:
        assert (await get(f"{server.base}{path}", headers)).status == 200
        assert (await get(f"{server.base}{path}")).status == 403  # for who knows no token


def test_the_page_has_the_background_of_the_usual_theme() -> None:
    usual = next(theme for theme in themes.THEMES if theme.name == themes.DEFAULT)
    assert usual.background == web_server.BACKGROUND


def test_the_font_of_symbols_has_what_the_page_says() -> None:
    text = Path(web_server.__file__).with_name("page.html").read_text()
    said = re.search(r"unicode-range: ([^;]+);", text)
    assert said
    ranges = [
        tuple(int(part, 16) for part in one.removeprefix("U+").split("-"))
        for one in said[1].split(", ")
    ]
    assert ranges == [*RANGES, (BRAILLE.start, BRAILLE.stop - 1)]


async def test_a_link_to_the_address_works_with_a_strict_cookie(server: Served) -> None:
    answer = await get(server.address, {"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 200
    assert answer.headers["Refresh"] == "0; url=/"
    assert "Set-Cookie" in answer.headers


async def test_other_pages_and_other_names_are_refused_even_with_the_token(server: Served) -> None:
    cookie = await server.cookie()
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{server.port}"},
        {"Origin": f"http://127.0.0.1:{server.port + 1}"},
        {"Host": f"evil.example:{server.port}"},
        {"Host": "127.0.0.1"},
    ):
        assert (await get(server.address, headers)).status == 403, headers
        assert await knock(server, {"Cookie": cookie, **headers}) == 403, headers
    assert not server.children()


async def test_the_token_is_nowhere_but_in_the_printed_address(mortal: Served) -> None:
    server = mortal
    async with server.window() as window:
        await window.until("gemmahub")
        (child, *_) = server.children()
        for pid in (child, server.process.pid):
            for name in ("cmdline", "environ"):
                found = Path(f"/proc/{pid}/{name}").read_bytes()
                assert server.token.encode() not in found
        assert server.token not in window.shown
    await get(server.address.replace("token=", "token=x"))
    server.process.terminate()
    assert server.process.stderr is not None
    assert server.token not in server.process.stderr.read().decode()


async def test_the_browser_is_started_without_the_token(tmp_path: Path) -> None:
    browser, log = tmp_path / "browser", tmp_path / "log"
    browser.write_text(
        f'#!/bin/sh\nfile="${{1#file://}}"\nstat -c %a "$file" > {log}.part\n'
        f'echo "$*" >> {log}.part\ncat "$file" >> {log}.part\nmv {log}.part {log}\n'
    )
    browser.chmod(0o755)
    with served("--open", BROWSER=f"{browser} %s") as server:
        async with asyncio.timeout(30):
            while not log.exists():
                await asyncio.sleep(0.05)
        mode, arguments, page = log.read_text().split("\n", 2)
        assert mode == "600"
        assert server.token not in arguments
        assert server.address in page
        file = Path(arguments.removeprefix("file://"))
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        await get(server.address)
        assert not file.parent.exists()


# --- other places to listen ----------------------------------------------------------------------


def connect_as(uid: int, path: Path) -> str:
    """What another user gets who connects; that user is a fork of this process."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setuid(uid)
            socket.socket(socket.AF_UNIX).connect(str(path))
            os.write(writer, b"connected")
        except BaseException as error:  # noqa: BLE001 - the fork of a test: it must not go on
            os.write(writer, type(error).__name__.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


async def test_a_unix_socket_is_of_this_user_and_wants_the_token(tmp_path: Path) -> None:
    folder = Path("/tmp", f"gemmahub-test-{os.getpid()}")  # short, and open to everybody
    folder.mkdir(mode=0o755)
    path = folder / "ui"
    try:
        with served("--socket", str(path)) as server:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            other = NOBODY if os.getuid() == 0 else os.getuid()
            expected = "PermissionError" if os.getuid() == 0 else "connected"
            assert connect_as(other, path) == expected
            connector = aiohttp.UnixConnector(str(path))
            async with aiohttp.ClientSession(connector=connector) as client:
                async with client.get("http://localhost:9000/") as answer:
                    assert answer.status == 403
                url = f"http://localhost:9000/?token={server.token}"
                async with client.get(url) as answer:
                    assert answer.status == 200
                    assert "ws://localhost:9000/ws" in await answer.text()
        assert not path.exists()
    finally:
        path.unlink(missing_ok=True)
        folder.rmdir()


async def test_a_socket_that_a_killed_server_left_is_replaced_and_no_other_file(
    tmp_path: Path,
) -> None:
    path, taken = tmp_path / "s", tmp_path / "text"
    taken.write_text("mine")
    with served("--socket", str(path)) as killed:
        killed.process.kill()
        killed.process.wait()
        assert path.is_socket()
        with served("--socket", str(path)):
            from gemmahub.cli.main import run

            assert run(["--web", "--socket", str(path)]) == 2
            assert path.is_socket()
    assert run(["--web", "--socket", str(taken)]) == 2
    assert taken.read_text() == "mine"


async def test_a_server_for_other_machines_wants_the_token_and_says_that_it_is_not_encrypted() -> (
    None
):
    with served("--host", "0.0.0.0") as server:
        assert "not encrypted" in server.said()
        assert (await get(server.base)).status == 403
        assert await knock(server, {}) == 403
        assert (await get(f"{server.base}/?token={server.token}")).status == 303
        foreign = {"Origin": f"http://6.6.6.6:{server.port}"}
        assert (await get(f"{server.base}/?token={server.token}", foreign)).status == 403
        named = {"Host": f"evil.example:{server.port}"}
        assert (await get(f"{server.base}/?token={server.token}", named)).status == 403


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--open"], 2, "--open is for the UI in a browser"),
        (["--socket", "x"], 2, "--socket is for"),
        (["--files", "."], 2, "--files is for"),
        (["--port", "9", "list"], 2, "--port is for"),
        (["--web", "list"], 2, "takes no command"),
        (["--web", "--host", "::1", "--socket", "x"], 2, "not both"),
        (["--web", "--host", "no-such-host.invalid"], 2, "there is no address"),
        (["--web", "--host", ""], 2, "there is no address"),
        (["--web", "--host", "203.0.113.7"], 1, "cannot listen on 203.0.113.7"),
        (["--web", "--files", "/no/such/folder"], 2, "does not exist"),
        (["--web", "--port", "0"], 2, "0 is not in the range"),
    ],
)
def test_options_that_make_no_sense_are_said(
    options: list[str], code: int, words: str, command: Callable[..., Result]
) -> None:
    done = command(*options)
    assert (done.code, words in done.err) == (code, True), done.err


def test_a_port_that_is_taken_is_said(command: Callable[..., Result]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = command("--web", "--port", port)
    assert done.code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in done.err


# --- code of others ------------------------------------------------------------------------------

SHADOWS = (
    "textual", "rich", "platformdirs", "gemmahub", "runpy", "asyncio", "json", "click", "pluggy",
    "sitecustomize", "usercustomize", "encodings", "jinja2", "markdown_it", "typing_extensions",
)  # fmt: skip


@pytest.mark.parametrize("path", [None, ".", ":{site}"])
async def test_modules_of_the_current_folder_do_not_run_in_the_ui(
    path: str | None, tmp_path: Path
) -> None:
    here, marker = tmp_path / "here", tmp_path / "marker"
    here.mkdir()
    for name in SHADOWS:
        (here / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write('{name} ')\n")
    environment = {} if path is None else {"PYTHONPATH": path.format(site=tmp_path)}
    command = (
        "import asyncio, os, sys; from gemmahub.engines.process import start_python_in_loop;"
        f"os.chdir({str(here)!r}); os.environ.update({environment!r});"
        "from gemmahub.tui.web.sessions import _environment\n"
        "async def main():\n"
        "    child = await start_python_in_loop('gemmahub.tui', '.',"
        " environment=_environment((80, 24)))\n"
        "    print(await child.stdout.readline()); child.kill(); await child.wait()\n"
        "asyncio.run(main())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", command, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert b"__GANGLION__" in said  # the UI started
    assert not marker.exists()


async def test_modules_of_the_folder_that_the_server_runs_in_do_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write('{name} ')\n")
    with served(folder=tmp_path) as server:
        async with server.window() as window:
            await window.until("gemmahub", "precision")
    assert not marker.exists()


# --- sizes and floods ----------------------------------------------------------------------------


async def test_a_page_that_asks_for_absurd_things_costs_no_memory(server: Served) -> None:
    async with server.window("width=1000000000&height=999999999") as window:
        await window.until("gemmahub", "precision")
        (child, *_) = server.children()
        for size in (10**9, 1e9, -5, 0, "9", None, 10**300, float("nan")):
            await window.send("resize", {"width": size, "height": size})
        await window.send("stdin", "\x1b[48;99999999;99999999;1;1t")  # the same, as keys
        await window.send("stdin", "\x1b[48;0;0;0;0t")
        for unknown in (["quit"], ["exit", 1], ["x", {}], ["stdin", 5], ["resize"], ["ping", [1]]):
            await window.send(*unknown)
        await window.send("resize", {"width": 100, "height": 30})
        window.shown = ""
        await window.send("stdin", "?")
        await window.until("This screen")
        assert resident_bytes(child) < MEMORY_BYTES
        assert resident_bytes(server.process.pid) < MEMORY_BYTES


async def test_a_flood_of_keys_waits_instead_of_taking_memory(mortal: Served) -> None:
    server = mortal
    async with server.window() as window:
        await window.until("gemmahub", "precision")
        (child, *_) = server.children()

        async def flood() -> None:
            for _ in range(100):
                await window.send("stdin", "j" * 1_000_000)

        started, sending = processor_seconds(child), asyncio.create_task(flood())
        async with asyncio.timeout(60):
            while processor_seconds(child) < started + 2:
                await asyncio.sleep(0.05)
        assert not sending.done()
        assert resident_bytes(child) < MEMORY_BYTES
        assert resident_bytes(server.process.pid) < MEMORY_BYTES
        sending.cancel()
        server.process.kill()  # instead of waiting until it has seen that nobody listens


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param("not JSON", 1008, id="not JSON"),
        pytest.param("{}", 1008, id="an object"),
        pytest.param("[" * 50_000, 1008, id="deep"),
        pytest.param('["stdin","' + "x" * 1_100_000, 1009, id="huge"),
    ],
)
async def test_what_is_no_message_ends_the_window(message: str, code: int, server: Served) -> None:
    async with server.window() as window:
        await window.socket.send_str(message)
        assert await window.until_closed() == code


async def test_the_number_of_windows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "MAX_SESSIONS", 2)
    place = Place("127.0.0.1", free_port(), "gemmahub --web")
    said: list[str] = []
    found: Any = web_server.WebServer(place, Path(), said.append)
    token = found._keys.token
    here: Any = SimpleNamespace(pid=os.getpid())  # the server runs in this process
    server = Served(f"{place.url}/?token={token}", here, place.port)
    with place.listen() as listening:
        running = asyncio.create_task(found._serve(listening, server.address))
        headers = {"Cookie": await server.cookie()}
        async with server.window(), server.window():
            assert await knock(server, headers) == 503
            assert (await get(server.base, headers)).status == 503
        async with server.window():
            assert (await get(server.base, headers)).status == 200
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


# --- nothing is left over ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
async def test_no_ui_outlives_the_server(number: signal.Signals, mortal: Served) -> None:
    async with mortal.window() as window, mortal.window():
        await window.until("gemmahub")
        pids = mortal.children()
        assert len(pids) == 2
        os.kill(mortal.process.pid, number)
        code = await asyncio.to_thread(mortal.process.wait, 30)
        assert code == (-9 if number is signal.SIGKILL else 0)
        await until_gone(pids)


async def test_a_ui_ends_with_its_window_even_while_it_starts(server: Served) -> None:
    async with server.window():
        async with asyncio.timeout(30):
            while not (starting := server.children()):
                await asyncio.sleep(0.01)
    async with server.window() as window:
        await window.until("gemmahub", "precision")
        drawn = server.children()
        assert drawn
    assert not any(map(is_alive, starting + drawn))
    assert is_alive(server.process.pid)


async def test_a_ui_that_does_not_answer_is_ended_with_its_window(server: Served) -> None:
    async with server.window() as window:
        await window.until("gemmahub")
        os.kill(server.children()[0], signal.SIGSTOP)


async def test_leaving_the_ui_closes_its_window(server: Served) -> None:
    async with server.window() as window:
        await window.until("gemmahub", "precision")
        await window.send("stdin", "q")
        assert await window.until_closed() == 1000


async def test_a_ui_that_dies_is_told_on_the_server(server: Served) -> None:
    async with server.window() as window:
        await window.until("gemmahub")
        os.kill(server.children()[0], signal.SIGKILL)
        await window.until_closed()
    assert "the UI was killed (SIGKILL)" in server.said()


async def test_a_ping_is_answered(server: Served) -> None:
    async with server.window() as window:
        await window.send("ping", "123")
        await window.until('["pong", "123"]')
