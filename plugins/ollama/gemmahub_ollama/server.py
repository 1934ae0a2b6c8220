"""An Ollama server: what it is asked, with its failures as backend errors.

Everything goes through the core's HTTP client, so that each answer has a limit in bytes and in
time, and each line of a stream has one. (The official client has neither.) Source: ollama/ollama
v0.17.4 ``api/types.go``, ``server/routes.go``.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import LoadFailed
from gemmahub.http.bodies import read_whole
from gemmahub.http.client import WebClient
from gemmahub.http.limits import ExchangeError, Limits
from gemmahub.http.values import NotJson, count_of, object_of, parse_json, text_of
from gemmahub_ollama import failures
from gemmahub_ollama.address import Address, server_address
from gemmahub_ollama.line_stream import JsonStream, Nonsense, Refused
from gemmahub_ollama.upload import digest_of, pieces_of, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

QUICK: Final = 1.5
"""Seconds for finding out whether a server is there."""
LISTING: Final = 2.0
"""Seconds for what is loaded: what the core gives an inventory."""
PATIENT: Final = 600.0
"""Seconds of silence: a large model on a slow disk takes minutes to load."""
_SPARE: Final = 5.0
_UNLOAD_SECONDS: Final = 5.0
_LOOK_AGAIN: Final = 0.05
_ASKED: Final = Limits(connect=QUICK)
_MOST_ROWS: Final = 1000  # that are loaded at once
_MOST_DIGESTS: Final = 4096  # whose progress a pull may tell


class OllamaServer:
    """A server at an address (default: where ``OLLAMA_HOST`` says). Nothing is asked until used.

    ``timeout`` is the longest silence in seconds while a model loads or answers. Methods raise
    BackendError: BackendMissing where no server answers, BackendCrashed where it breaks off.
    """

    def __init__(self, address: Address | None = None, *, timeout: float = PATIENT) -> None:
        self.address = address or server_address()
        self.timeout = timeout
        # A whole answer, or a line of one, may take as long as a silence, and a little more.
        self._working = Limits(silence=timeout, total=timeout + _SPARE, connect=QUICK)
        self._web = WebClient(
            self.address.url,
            secrets=_login(),
            # A proxy of the environment has no way to this machine's own loopback.
            proxies=not self.address.local,
            keep_alive=False,
        )

    def close(self) -> None:
        """Give back connections; twice is fine."""
        self._web.close()

    def __enter__(self) -> OllamaServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # --- quick questions -----------------------------------------------------------------------

    def version(self) -> str:
        """The server's version."""
        limits = Limits(silence=QUICK, total=QUICK, most_bytes=1 << 16)
        found = text_of(self._json("GET", "/api/version", limits=limits).get("version"))
        if not found:
            raise failures.not_ollama(self.address, "it states no version")
        return found

    def running(self, seconds: float = _ASKED.silence) -> list[dict[str, Any]]:
        """What is loaded, as ``/api/ps`` says it; ``seconds`` bounds the whole question."""
        limits = Limits(silence=seconds, total=seconds, connect=min(QUICK, seconds))
        found = self._models("/api/ps", limits)
        if len(found) > _MOST_ROWS:
            raise failures.not_ollama(self.address, f"/api/ps has {len(found):,} models")
        return found

    def models(self) -> list[dict[str, Any]]:
        """What is in its store, as ``/api/tags`` says it."""
        return self._models("/api/tags", _ASKED)

    def show(self, model: str) -> dict[str, Any]:
        """What it knows of a model: ``details``, ``model_info``, ``template``, ``tensors``...

        Raises: LoadFailed when it has no such model.
        """
        return self._json("POST", "/api/show", {"model": model}, model=model, limits=self._working)

    # --- work ----------------------------------------------------------------------------------

    def load(self, model: str, options: Mapping[str, Any], keep_alive: str) -> None:
        """Load a model with these options.

        Raises: LoadFailed when it refuses.
        """
        body = {"model": model, "options": dict(options), "keep_alive": keep_alive, "stream": False}
        self._json("POST", "/api/generate", body, model=model, limits=self._working)

    def unload(self, model: str) -> None:
        """Let a model go at once. Returns when it is gone, or after some seconds if it stays."""
        body = {"model": model, "keep_alive": 0, "stream": False}
        self._json("POST", "/api/generate", body)
        end = monotonic() + _UNLOAD_SECONDS
        while self.loaded(model) is not None and monotonic() < end:
            sleep(_LOOK_AGAIN)

    def loaded(self, model: str) -> dict[str, Any] | None:
        """The entry of a model among those that are loaded, None if it is not."""
        names = (model, f"{model}:latest")
        return next((m for m in self.running() if _is_named(m, names)), None)

    def has(self, model: str) -> bool:
        """Whether its store has a model of that name."""
        return any(_is_named(entry, (model,)) for entry in self.models())

    def answer(self, path: str, body: Mapping[str, Any]) -> JsonStream:
        """An answer of ``/api/chat`` or ``/api/generate``, to be read object by object."""
        return JsonStream(self._web, path, to_json(dict(body)), self._working)

    def upload(self, path: Path) -> str:
        """Give a file to its store. Returns its digest.

        Raises: LoadFailed, also for a file that cannot be read.
        """
        with readable(path):
            digest = digest_of(path)
            size = path.stat().st_size
        patience = self._working.patience(self.address.shown)
        content = pieces_of(path, patience, self.timeout + _SPARE)
        headers = {"Content-Length": str(size)}
        with (
            readable(path),
            self._in_words("taking the file"),
            self._web.open(
                "POST", f"/api/blobs/{digest}", patience=patience, content=content, headers=headers
            ) as response,
        ):
            body = read_whole(response, _ASKED.most_bytes)
            if response.status_code >= 400:
                said = failures.error_in(_parsed(body)) or ""
                raise failures.from_status(response.status_code, said, "", LoadFailed)
        return digest

    def create(self, model: str, files: Mapping[str, str]) -> None:
        """Make a model of files in its store: names and digests."""
        body = {"model": model, "files": dict(files), "stream": False}
        self._json("POST", "/api/create", body, limits=self._working)

    def pull(
        self,
        model: str,
        on_progress: Callable[[str, str, int, int], None],
        *,
        insecure: bool = False,
    ) -> None:
        """Let it fetch a model. ``on_progress``: what it does, a digest, bytes done, all bytes.

        ``insecure`` lets it use plain HTTP.
        """
        body = {"model": model, "insecure": insecure, "stream": True}
        stream = JsonStream(self._web, "/api/pull", to_json(body), self._working)
        digests: set[str] = set()
        try:
            with self._in_words("fetching the model"):
                for part in stream.objects():
                    digest = text_of(part.get("digest"), 200)
                    digests.add(digest)
                    if len(digests) > _MOST_DIGESTS:
                        raise failures.not_ollama(self.address, "it never finishes")
                    done, size = (count_of(part.get(name)) or 0 for name in ("completed", "total"))
                    on_progress(text_of(part.get("status"), 200), digest, done, size)
        except Refused as error:
            raise failures.from_status(error.status, error.said, "", LoadFailed) from error
        except Nonsense as error:
            raise failures.not_ollama(self.address, str(error)) from error

    # --- how -----------------------------------------------------------------------------------

    def _models(self, path: str, limits: Limits) -> list[dict[str, Any]]:
        found = self._json("GET", path, limits=limits).get("models")
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise failures.not_ollama(self.address, f"{path} has no list of models")
        return found

    def _json(
        self, method: str, path: str, body: Any = None, *, model: str = "", limits: Limits = _ASKED
    ) -> dict[str, Any]:
        """An answer that is one JSON object.

        Raises: BackendError, LoadFailed where the server itself refuses.
        """
        content = None if body is None else to_json(body)
        with self._in_words("answering a question"):
            answer = self._web.fetch(method, path, limits=limits, content=content)
        try:
            found = parse_json(answer.body)
        except NotJson as error:
            if answer.status < 400:
                raise failures.not_ollama(self.address, str(error)) from error
            found = {}
        said = failures.error_in(found)
        if said is not None or answer.status >= 400:
            raise failures.from_status(answer.status, said or "", model, LoadFailed)
        if not isinstance(found, dict):
            raise failures.not_ollama(self.address, "it is not a JSON object")
        return found

    @contextmanager
    def _in_words(self, doing: str) -> Iterator[None]:
        try:
            yield
        except ExchangeError as error:
            raise failures.from_exchange(error, self.address, doing) from error


def to_json(body: Any) -> bytes:
    """JSON in ASCII: also of text with halves of characters, which UTF-8 does not have."""
    return json.dumps(body).encode()


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        return object_of(parse_json(body))
    except NotJson:
        return {}


def _is_named(entry: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    """Compared as they are: a name of another kind than text is none of them."""
    return entry.get("name") in names or entry.get("model") in names


def _login() -> dict[str, str]:
    import os

    key = os.environ.get("OLLAMA_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}
