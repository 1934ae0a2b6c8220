"""``gemmahub serve`` with clients that do what none should, and engines that end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx2
import psutil
import pytest

import gemmahub
from gemmahub.service import PlanOptions
from gemmahub.service.serving.known import known_servers
from gemmahub.testing.model_writer import write_model
from tests.programs import PROGRAM, free_port
from tests.service.serving_support import HELLO, Serving, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Result


CHAT = "/v1/chat/completions"
BASE = "gemma-3-270m:q4_k_m"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_model(path)
    return str(path)


@pytest.fixture(scope="module")
def server(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    words = (tiny, "-c", 1024, "--cors", "https://chat.example")
    data = tmp_path_factory.mktemp("data")
    with serving(*words, data=data, GEMMAHUB_API_KEY="correct horse") as found:
        yield found


KEY = {"Authorization": "Bearer correct horse"}


def failure(answer: httpx2.Response) -> tuple[int, str]:
    """Status and message of an error in OpenAI's form."""
    found = answer.json()["error"]
    assert set(found) >= {"type", "message", "code", "param"}
    return answer.status_code, found["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"[1]", "JSON object"),
        (b'{"messages": "\xff"}', "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"{" + b'"a":1,' * 1_100_000 + b'"b":1}', "more than 1,000,000 values"),
        (json.dumps({"messages": HELLO, "max_tokens": "x" * 5}).encode(), ""),
        (b'{"model": 5}', "'model' must be"),
        (b"{}", "'messages' must be"),
        (b'{"messages": []}', "'messages' must be"),
        (b'{"messages": ["hello"]}', "each of 'messages'"),
        (b'{"messages": [{"role": "user", "content": NaN}]}', "cannot be read"),
    ],
)
def test_a_body_that_is_invalid_is_the_clients_fault(
    server: Serving, body: bytes, said: str
) -> None:
    status, message = failure(server.ask("POST", CHAT, body, **KEY))
    assert status == 400
    assert said in message


@pytest.mark.parametrize("is_told", [True, False])
def test_a_body_of_50_mb_is_refused_before_it_is_read(server: Serving, is_told: bool) -> None:
    size = 50_000_000
    told = f"Content-Length: {size}" if is_told else "Transfer-Encoding: chunked"
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: {KEY['Authorization']}\r\n{told}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(head.encode())
        piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        sent = 0
        while not is_told and sent < size:
            try:
                client.sendall(piece)
            except OSError:  # it has answered, and closed
                break
            sent += 1 << 20
        answer = b""
        while b"}}" not in answer and (more := client.recv(1 << 16)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"more than 32 MiB" in answer


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": "http://169.254.169.254/"},
        {"type": "image", "source": {"type": "url", "url": "http://169.254.169.254/"}},
        {"type": "tool_result", "content": [{"type": "image", "source": {"url": "http://x/"}}]},
    ],
)
def test_no_address_in_a_message_is_fetched(server: Serving, part: dict[str, Any]) -> None:
    body = {"messages": [{"role": "user", "content": [part]}]}
    status, message = failure(server.ask("POST", CHAT, body, **KEY))
    assert (status, "addresses are not fetched" in message) == (400, True)


def test_only_who_knows_the_key_is_answered(server: Serving) -> None:
    body = {"messages": HELLO, "max_tokens": 1}
    for headers in ({}, {"Authorization": "Bearer correct hors"}, {"x-api-key": "?"}):
        answer = server.ask("POST", CHAT, body, **headers)
        assert failure(answer)[0] == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert server.ask("POST", CHAT, body, **{"x-api-key": "correct horse"}).status_code == 200
    assert server.ask("POST", "/v1/messages", body).json()["type"] == "error"
    assert server.ask("GET", "/health").json() == {"status": "ok"}
    assert failure(server.ask("GET", "/gemmahub/status", **KEY))[0] == 401


def test_a_foreign_name_or_page_is_refused(server: Serving) -> None:
    own = f"127.0.0.1:{server.port}"
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{server.port}"},
        {"Host": own, "Origin": "http://evil.example"},
        {"Host": own, "Origin": "null"},
    ):
        answer = server.ask("GET", "/v1/models", **KEY, **headers)
        assert failure(answer)[0] == 403
        assert "access-control-allow-origin" not in answer.headers


def test_a_named_page_may_ask_and_others_hear_of_no_permission(server: Serving) -> None:
    named = {"Origin": "https://chat.example"}
    wish = {"Access-Control-Request-Method": "POST"}
    allowed = server.ask("OPTIONS", CHAT, **named, **wish)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://chat.example"
    answer = server.ask("GET", "/v1/models", **KEY, **named)
    assert answer.headers["access-control-allow-origin"] == "https://chat.example"
    refused = server.ask("OPTIONS", CHAT, Origin="https://other.example", **wish)
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in server.ask("GET", "/v1/models", **KEY).headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/slots/0?action=save", 404),
        ("GET", "/props", 404),
        ("GET", CHAT, 405),
        ("GET", "/v1/models/other", 404),
        ("POST", "/v1/../completion", 404),
    ],
)
def test_nothing_else_of_an_engine_is_reached(
    server: Serving, method: str, path: str, status: int
) -> None:
    assert failure(server.ask(method, path, **KEY))[0] == status


def test_1000_silent_connections_do_not_block_an_answer(server: Serving) -> None:
    place = ("127.0.0.1", server.port)
    silent = [socket.create_connection(place, timeout=60) for _ in range(1000)]
    try:
        answer = server.ask("POST", CHAT, {"messages": HELLO, "max_tokens": 2}, **KEY)
        assert answer.json()["usage"]["completion_tokens"] == 2
    finally:
        for each in silent:
            each.close()


def test_an_engine_that_is_killed_in_mid_stream_is_reported_and_started_again(
    server: Serving,
) -> None:
    body = {"messages": HELLO, "stream": True, "max_tokens": 900, "ignore_eos": True}
    url, text = server.url + CHAT, ""
    with httpx2.stream("POST", url, json=body, headers=KEY, timeout=120) as answer:
        for number, line in enumerate(answer.iter_lines()):
            if number == 4:
                for engine in server.engines():
                    engine.send_signal(signal.SIGSTOP)  # it is in the middle, for sure
                for engine in server.engines():
                    engine.kill()
            text += line
    last = json.loads(text.rpartition("data: ")[2])
    assert "ended during its answer" in last["error"]["message"]
    again = server.ask("POST", CHAT, {"messages": HELLO, "max_tokens": 2}, **KEY)
    assert again.status_code == 200


def test_an_engine_that_was_killed_while_nobody_asked_is_started_again_unseen(
    server: Serving,
) -> None:
    body = {"messages": HELLO, "max_tokens": 2}
    assert server.ask("POST", CHAT, body, **KEY).status_code == 200
    (engine,) = server.engines()
    engine.kill()
    psutil.wait_procs([engine])
    assert server.ask("POST", CHAT, body, **KEY).status_code == 200


# --- several models ------------------------------------------------------------------------------


def test_two_models_take_turns_where_one_has_room(tiny: str, tmp_path: Path) -> None:
    total = gemmahub.open().plan(BASE, PlanOptions(context=2048)).memory.total_bytes
    ram = f"{-(-total // 2**20)}MiB"  # the other one takes 3 MiB
    with serving(BASE, tiny, "-c", 2048, "--ram", ram, data=tmp_path) as server:
        assert server.loaded() == []
        long = {"model": BASE, "prompt": "One", "max_tokens": 40, "ignore_eos": True}
        short = {"model": tiny, "messages": HELLO, "max_tokens": 2}
        url, streamed = f"{server.url}/v1/completions", long | {"stream": True}
        with ThreadPoolExecutor() as other:
            with httpx2.stream("POST", url, json=streamed, timeout=120) as running:
                pieces = running.iter_lines()
                next(pieces)
                assert server.loaded() == [BASE]
                answer = other.submit(server.ask, "POST", CHAT, short)
                assert "data: [DONE]" in list(pieces)  # it is not cut short
            assert answer.result().status_code == 200
        assert server.loaded() == [tiny]
        assert server.ask("POST", "/v1/completions", long).status_code == 200
        assert server.loaded() == [BASE]
        assert len(server.engines()) == 1


# --- how it begins and ends ----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_however_it_ends(number: int, tiny: str, tmp_path: Path) -> None:
    with serving(tiny, "-c", 1024, data=tmp_path) as server:
        engines = server.engines()
        assert len(engines) == 1
        assert len(known_servers(tmp_path)) == 1
        body = {"messages": HELLO, "stream": True, "max_tokens": 900, "ignore_eos": True}
        with httpx2.stream("POST", server.url + CHAT, json=body, timeout=120) as answer:
            next(answer.iter_lines())
            server.process.send_signal(number)
            code = server.process.wait(60)
        assert code == (-9 if number == signal.SIGKILL else 0)
        assert psutil.wait_procs(engines, timeout=60)[1] == []
    assert known_servers(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--host", "0.0.0.0"], 2, "a key is needed"),
        (["--api-key", "short"], 2, "easy to guess"),
        (["--cors", "*"], 2, "not the origin"),
        (["--cors", "https://chat.example/page"], 2, "not the origin"),
        ([BASE, "-c", "32768", "--ram", "256MiB"], 4, "does not fit"),
        (["nothing-like-this"], 3, "nothing-like-this"),
        (["gemma-3-4b-it:q4_0-qat"], 3, "gemmahub pull"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(
    words: list[str], code: int, said: str, tiny: str
) -> None:
    done = run(tiny, *words, port=free_port())
    assert done.returncode == code
    assert said in done.stderr


def run(*words: str, port: int) -> subprocess.CompletedProcess[str]:
    """``gemmahub serve`` that ends by itself."""
    command = [str(PROGRAM), "serve", *words, "--port", str(port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_port_that_is_taken_is_reported(tiny: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tiny, port=port)
    assert done.returncode == 1
    assert f"gemmahub serve --port {port + 1}" in done.stderr


def test_a_model_that_is_damaged_is_said_at_once(tmp_path: Path, tiny: str) -> None:
    broken = tmp_path / "broken.gguf"
    with open(tiny, "rb") as file:
        broken.write_bytes(file.read()[: os.path.getsize(tiny) // 2])
    done = run(str(broken), port=free_port())
    assert done.returncode in (5, 7)
    assert "broken.gguf" in done.stderr


# --- ps and stop ---------------------------------------------------------------------------------


def test_ps_shows_what_it_holds_and_stop_unloads_it(
    tiny: str, tmp_path: Path, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path))
    with serving(BASE, tiny, "-c", 1024, data=tmp_path) as server:
        assert command("stop", BASE).code == 3
        for model in (BASE, tiny):
            body = {"model": model, "messages": HELLO, "max_tokens": 2}
            assert server.ask("POST", CHAT, body).status_code == 200
        rows = json.loads(command("ps", "--json").out)["models"]
        assert [row["name"] for row in rows] == [BASE, tiny]
        assert rows[0]["precision"]["label"] == "Q4_K_M"
        assert (rows[0]["context"], rows[0]["place"]) == (1024, server.url)
        shown = command("ps").out
        assert "7.36" in shown or "Q4_K_M" in shown
        stopped = command("stop", BASE)
        assert stopped.code == 0
        assert f"unloaded {BASE} from gemmahub serve" in stopped.err
        assert server.loaded() == [tiny]
        assert len(server.engines()) == 1
        assert command("stop").code == 0
        assert server.loaded() == []
        assert server.engines() == []
    assert "nothing is loaded" in command("ps").err


def test_a_server_that_was_killed_is_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "serving"
    folder.mkdir()
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = {"pid": ended.pid, "address": "http://127.0.0.1:1", "key": "x"}
    (folder / "1.json").write_text(json.dumps(dead))
    (folder / "2.json").write_text("{")
    assert known_servers(tmp_path) == []
    assert list(folder.iterdir()) == []
