"""Running servers: started, shared by the sessions of this process that want the same, stopped."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.program import Program, start_program
from gemmahub.errors import BackendCrashed, LoadFailed
from gemmahub.http.values import NotJson, object_of, parse_json
from gemmahub_llamaserver.build import added_environment, own_folder
from gemmahub_llamaserver.report import is_kept, read_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import OnProgress
    from gemmahub.http.client import WebClient

_LOAD_SECONDS: Final = 1800.0  # the largest models, from a slow disk
_STOP_SECONDS: Final = 2.0  # it ends in 0.2 s, and hangs where a client still waits for an answer
_HEALTH_SECONDS: Final = 1.0
_SIZE: Final = 64 << 20  # of an answer that is read whole: the tokens of a prompt
_VALUES: Final = 4_000_000
_ANSWER_SECONDS: Final = 60.0
_DAMAGED: Final = ("file bounds", "failed to read", "invalid magic", "exceeds the remaining")
_NO_MEMORY: Final = ("memory", "allocate", "bad_alloc")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A server as it is asked for; two that are equal are one. ``stamp`` changes with the files."""

    command: tuple[str, ...]
    name: str
    stamp: tuple[int, ...]


class RefusedRequest(NotJson):
    """The server answers with another status than 200."""

    def __init__(self, path: str, status: int) -> None:
        super().__init__(f"HTTP {status} for {path}")
        self.status = status


class RunningServer:
    """A running server. ``users`` is counted by :func:`acquire` and :func:`release`."""

    def __init__(self, wanted: Wanted, program: Program, key: str) -> None:
        self.wanted, self.program, self._key = wanted, program, key
        self.users = 0

    def client(self) -> WebClient:
        """A client that knows its address and its key."""
        return _client(self.program.port, self._key)


_running: dict[Wanted, RunningServer] = {}
_lock: Final = Lock()


def acquire(wanted: Wanted, on_progress: OnProgress | None = None) -> RunningServer:
    """The running server that is the same, or a new one. Give it back with :func:`release`.

    Raises: LoadFailed, BackendCrashed, BackendMissing, and what ``on_progress`` raises.
    """
    with _lock:
        server = _running.get(wanted)
        if server is None or not server.program.running:
            server = start(wanted, secrets.token_urlsafe(32), on_progress)
            _running[wanted] = server
        server.users += 1
        return server


def release(server: RunningServer) -> None:
    """It is not needed any more; the last one to say so ends it."""
    with _lock:
        server.users -= 1
        if server.users:
            return
        if _running.get(server.wanted) is server:
            del _running[server.wanted]
    server.program.stop()


def ask(
    web: WebClient,
    path: str,
    body: dict[str, Any] | None = None,
    seconds: float = _ANSWER_SECONDS,
) -> dict[str, Any]:
    """What the server answers.

    Raises: ExchangeError; NotJson, also RefusedRequest for an answer that is none.
    """
    import json

    from gemmahub.http.limits import Limits

    content = None if body is None else json.dumps(body).encode()
    limits = Limits(silence=seconds, total=seconds, most_bytes=_SIZE)
    method = "GET" if body is None else "POST"
    answer = web.fetch(method, path, limits=limits, content=content)
    if answer.status != 200:
        raise RefusedRequest(path, answer.status)
    return object_of(parse_json(answer.body, _VALUES))


def _client(port: int | None, key: str, *, keep_alive: bool = True) -> WebClient:
    from gemmahub.http.client import WebClient

    return WebClient(
        f"http://127.0.0.1:{port}",
        headers={"Content-Type": "application/json"},
        secrets={"Authorization": f"Bearer {key}"},
        proxies=False,
        keep_alive=keep_alive,
    )


def start(wanted: Wanted, key: str, on_progress: OnProgress | None = None) -> RunningServer:
    """A new server, which answers who sends the key; end it by its program.

    Raises: LoadFailed, BackendCrashed, BackendMissing, and what ``on_progress`` raises.
    """
    seen = list[Program]()
    try:
        program = start_program(
            lambda port: [*wanted.command, "--port", str(port)],
            name="llama-server",
            ready=_health(key, seen, on_progress),
            ready_seconds=_LOAD_SECONDS,
            environment={**added_environment(), "LLAMA_API_KEY": key},
            without=("LLAMA_*",),
            folder=own_folder(wanted.command[0]),
            keep=is_kept,
            patience=_STOP_SECONDS,
        )
    except BackendCrashed as error:
        raise _refusal(wanted, seen[-1], error) if seen else error from None
    return RunningServer(wanted, program, key)


def _health(
    key: str, seen: list[Program], on_progress: OnProgress | None
) -> Callable[[Program], bool]:
    """What asks whether a server is ready; a loading that was given up is heard of there."""
    webs: dict[int, WebClient] = {}

    def ready(program: Program) -> bool:
        from gemmahub.http.limits import Limits

        seen[:] = [program]
        if on_progress is not None:
            on_progress(0.0)
        if program.pid not in webs:
            webs[program.pid] = _client(program.port, key, keep_alive=False)
        limits = Limits(total=_HEALTH_SECONDS)
        return webs[program.pid].fetch("GET", "/health", limits=limits).status == 200

    return ready


def _refusal(
    wanted: Wanted, program: Program, error: BackendCrashed
) -> BackendCrashed | LoadFailed:
    """What the log says of a server that ended while it loaded."""
    reason = read_reason(program.log.lines)
    if not reason:
        return error
    hint = "check the file with `gemmahub inspect`"
    if any(sign in reason for sign in _DAMAGED):
        hint = "download it again: it is damaged or incomplete"
    elif any(sign in reason for sign in _NO_MEMORY):
        hint = "try a smaller --ctx-size, --cache-type q8_0, or a smaller variant"
    return LoadFailed(f"llama-server cannot load {wanted.name}: {reason}", f"{hint}; {error.hint}")
