"""Servers of this user that run now, as ``gemmahub ps`` and ``gemmahub stop`` find them.

Each leaves a file that only this user can read, with its address and the key for such questions.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gemmahub.engines.contract import LoadedModel
from gemmahub.http.values import NotJson, count_of, object_of, parse_json, text_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENGINE: Final = "gemmahub serve"
"""What the models of such a server are said to be held by."""
DEFAULT_PORT: Final = 8808
_FOLDER: Final = "serving"
_SECONDS: Final = 2.0
_UNLOAD_SECONDS: Final = 600.0  # answers in work are waited for
_BYTES: Final = 1 << 20
_MOST_ROWS: Final = 1000
_LONGEST: Final = 400


@dataclass(frozen=True, slots=True)
class SuppliedModel:
    """A model that a server offers: how its precision is written, its bytes of memory, its context
    for each client, and the answers that it gives now."""

    name: str
    precision: str
    memory_bytes: int
    context: int
    loaded: bool
    pinned: bool
    answers: int


@dataclass(frozen=True, slots=True)
class KnownVisit:
    """A request to a server; see :class:`gemmahub.service.serving.visitors.Visit`."""

    client: str
    path: str
    began: datetime | None
    model: str
    state: str
    said: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What a server says of itself: its models, and the newest requests first."""

    address: str
    pid: int
    models: tuple[SuppliedModel, ...]
    visits: tuple[KnownVisit, ...]


@dataclass(frozen=True, slots=True)
class KnownServer:
    """A server: its address, its key for questions of gemmahub itself, and its process."""

    address: str
    control: str = field(repr=False)
    pid: int = field(default_factory=os.getpid)

    def loaded(self) -> list[LoadedModel]:
        """What it holds in memory. Raises: ExchangeError, NotJson when it is not there."""
        return [
            LoadedModel(
                one_line(text_of(row.get("name"))),
                ENGINE,
                text_of(row.get("name")),
                text_of(row.get("precision"), 80),
                count_of(row.get("memory_bytes")),
                count_of(row.get("device_bytes")),
                count_of(row.get("context")),
                one_line(text_of(row.get("device"), 200)),
                place=self.address,
            )
            for row in _rows(self._ask("GET", "status", _SECONDS), "models")
            if row.get("loaded") is True
        ]

    def status(self) -> ServerStatus:
        """What it offers, and who asks it. Raises: ExchangeError, NotJson when it is not there."""
        found = self._ask("GET", "status", _SECONDS)
        models = tuple(_supplied(row) for row in _rows(found, "models"))
        visits = tuple(_visit(row) for row in _rows(found, "visits"))
        return ServerStatus(self.address, self.pid, models, visits)

    def unload(self, name: str) -> None:
        """Give back the memory of a model, when its answers have ended.

        Raises: ExchangeError, NotJson.
        """
        self._ask("POST", f"unload?model={quote(name, safe='')}", _UNLOAD_SECONDS)

    def _ask(self, method: str, what: str, seconds: float) -> dict[str, Any]:
        from gemmahub.http.client import WebClient
        from gemmahub.http.limits import Limits

        keys = {"Authorization": f"Bearer {self.control}"}
        limits = Limits(silence=seconds, total=seconds, most_bytes=_BYTES)
        with WebClient(self.address, secrets=keys, proxies=False) as web:
            answer = web.fetch(method, f"/gemmahub/{what}", limits=limits)
        if answer.status != 200:
            raise NotJson(f"it answers HTTP {answer.status}")
        return object_of(parse_json(answer.body))


def _rows(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = found.get(name)
    return [object_of(row) for row in rows[:_MOST_ROWS]] if isinstance(rows, list) else []


def _supplied(row: dict[str, Any]) -> SuppliedModel:
    return SuppliedModel(
        one_line(text_of(row.get("name"), _LONGEST)),
        one_line(text_of(row.get("summary"), _LONGEST)),
        count_of(row.get("memory_bytes")) or 0,
        count_of(row.get("context")) or 0,
        loaded=row.get("loaded") is True,
        pinned=row.get("pinned") is True,
        answers=count_of(row.get("answers")) or 0,
    )


def _visit(row: dict[str, Any]) -> KnownVisit:
    client, path, model, state, said = (
        one_line(text_of(row.get(name), _LONGEST))
        for name in ("client", "path", "model", "state", "said")
    )
    seconds = row.get("seconds")
    try:
        began = datetime.fromisoformat(text_of(row.get("began"), 40))
    except ValueError:
        began = None
    took = float(seconds) if isinstance(seconds, int | float) else 0.0
    return KnownVisit(client, path, began, model, state, said, took)


@contextmanager
def made_known(data: Path, server: KnownServer, port: int) -> Iterator[None]:
    """While inside, others of this user find it."""
    path = data / _FOLDER / f"{port}.json"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    content = json.dumps({"pid": server.pid, "address": server.address, "key": server.control})
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def known_servers(data: Path) -> list[KnownServer]:
    """Those that run; the files of others, which were killed, are removed."""
    found = []
    for path in _files(data):
        if (server := _running(path)) is not None:
            found.append(server)
        else:
            path.unlink(missing_ok=True)
    return found


def left_by_servers(data: Path) -> list[Path]:
    """The files of servers that run no more."""
    return [path for path in _files(data) if _running(path) is None]


def _files(data: Path) -> list[Path]:
    return sorted((data / _FOLDER).glob("*.json"))


def _running(path: Path) -> KnownServer | None:
    import psutil

    try:
        row = object_of(parse_json(path.read_bytes()[:_BYTES]))
    except (OSError, NotJson):
        row = {}
    address, key, pid = text_of(row.get("address")), text_of(row.get("key")), row.get("pid")
    runs = type(pid) is int and address.startswith("http://") and psutil.pid_exists(pid)
    return KnownServer(address, key, pid) if runs and type(pid) is int else None
