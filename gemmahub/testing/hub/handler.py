"""How the local hub answers one request."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from gemmahub.testing.hub.content import Fault, HubRequest, Repo, Served, tree_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

_SEND_BUFFER: Final = 64 * 1024
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")


class HubState:
    """What both addresses of a hub answer from: repositories, logins, faults, and what was seen."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.seen: list[HubRequest] = []
        self.tokens: dict[str, set[str]] = {}
        self.released = threading.Event()
        self.cdn = ""
        self.signature = 0
        self._lock = threading.Lock()

    def record(self, seen: HubRequest) -> None:
        with self._lock:
            self.seen.append(seen)

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self.faults if fault.hits(method, path)), None)


class HubListener(ThreadingHTTPServer):
    """One of the hub's two addresses."""

    daemon_threads = True

    def __init__(self, hub: HubState) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        # What waits in a large buffer would count as sent, and never leaves when the client dies.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.hub = hub
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to print."""


class HubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubListener
    seen: HubRequest

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def _answer(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        wanted = self.headers.get("Range", "")
        self.seen = HubRequest(self.command, self.path, token, wanted, self.headers.get("Host", ""))
        self.server.hub.record(self.seen)
        fault = self.server.hub.fault_for(self.command, unquote(self.path))
        if fault is not None and fault.kind == "status":
            self._json({"error": "as told"}, int(fault.value), dict(fault.headers))
        elif fault is not None and fault.kind == "page":
            self._send(b"<!DOCTYPE html><title>Log in</title>", 200, {"Content-Type": "text/html"})
        elif fault is not None and fault.kind == "redirect":
            self._send(b"", 302, {"Location": f"{self.path}&further=1"})
        else:
            self._route(fault)

    do_HEAD = do_GET = do_POST = _answer  # noqa: N815 - names of the standard library

    def _route(self, fault: Fault | None) -> None:
        url = urlsplit(self.path)
        query, parts = parse_qs(url.query), [unquote(p) for p in url.path.split("/")[1:]]
        if parts[:2] == ["api", "models"]:
            self._models(parts[2:], query)
        elif parts[:2] == ["api", "whoami-v2"]:
            known = self.seen.token in self.server.hub.tokens
            self._json(
                {"name": "user", "type": "user", "orgs": []} if known else {}, 200 if known else 401
            )
        elif parts[:3] == ["api", "resolve-cache", "models"]:
            self._small(parts[3:], fault)
        elif parts[0] == "blob":
            self._blob(parts[1:], query, fault)
        elif len(parts) > 4 and parts[2] == "resolve":
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]), fault)
        else:
            self._refuse(404, "", "Sorry, we can't find the page you are looking for.")

    # --- the API -------------------------------------------------------------------------------

    def _models(self, parts: list[str], query: dict[str, list[str]]) -> None:
        if not parts:
            self._json(self._found(query))
            return
        repo = self._repo("/".join(parts[:2]), content=False)
        if repo is None:
            return
        what, revision = (parts[2], parts[3]) if len(parts) > 3 else ("revision", "main")
        body: Any
        if what == "tree":
            body = repo.tree(revision)
        elif what == "paths-info":
            body = self._paths_info(repo, revision)
        else:
            body = repo.info(revision, blobs="blobs" in query)
        if body is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            self._json(body)

    def _found(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        words = query.get("search", [""])[0].lower().split()
        author = query.get("author", [""])[0].lower()
        found = [
            repo.info("main", blobs=False) or {}
            for repo in self.server.hub.repos.values()
            if all(word in repo.name.lower() for word in words)
            and (not author or repo.name.lower().startswith(f"{author}/"))
            and (not repo.private or repo.name in self._allowed())
        ]
        found.sort(key=lambda info: -info["downloads"])
        return found[: int(query.get("limit", ["1000"])[0])]

    def _paths_info(self, repo: Repo, revision: str) -> list[dict[str, Any]] | None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        wanted = parse_qs(body.decode()).get("paths") or json.loads(body or b"{}").get("paths", [])
        found = repo.at(revision)
        return [tree_entry(found[1][p]) for p in wanted if p in found[1]] if found else None

    # --- files ---------------------------------------------------------------------------------

    def _resolve(self, name: str, revision: str, path: str, fault: Fault | None) -> None:
        repo = self._repo(name, content=True)
        if repo is None:
            return
        found = repo.at(revision)
        if found is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        commit, files = found
        if path not in files:
            self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
            return
        file = files[path]
        headers = _about(file, "0" * 40 if fault and fault.kind == "commit" else commit)
        if fault and fault.kind == "no commit":
            del headers["X-Repo-Commit"]
        if file.lfs:
            signed = f"?signature=sig{self.server.hub.signature}&name={quote(path, safe='')}"
            where = f"{self.server.hub.cdn}/blob/{name}/{commit}/{file.sha256}{signed}"
            self._send(b"", 302, headers | {"Location": where})
        else:
            where = f"/api/resolve-cache/models/{name}/{commit}/{quote(path)}"
            self._send(b"", 307, headers | {"Location": where})

    def _small(self, parts: list[str], fault: Fault | None) -> None:
        """A file that is not in LFS, from the hub itself."""
        repo = self._repo("/".join(parts[:2]), content=True)
        if repo is not None:
            file = repo.commits[parts[2]]["/".join(parts[3:])]
            self._content(file, _about(file, parts[2]), fault)

    def _blob(self, parts: list[str], query: dict[str, list[str]], fault: Fault | None) -> None:
        """A large file, from the CDN: whoever has a signed address may read it, and nobody else."""
        if query.get("signature") != [f"sig{self.server.hub.signature}"]:
            self._refuse(403, "", "Request has expired")
            return
        repo = self.server.hub.repos["/".join(parts[:2])]
        file = next(f for f in repo.commits[parts[2]].values() if f.sha256 == parts[3])
        self._content(file, {}, fault)

    def _content(self, file: Served, headers: dict[str, str], fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        value = int(fault.value) if fault else 0
        begin, end, status = 0, file.size, 200
        match = _RANGE.fullmatch(self.seen.range)
        if match and kind != "ignore range":
            begin, status = int(match[1]), 206
            end = min(int(match[2] or file.size) + 1, file.size)
            if begin >= file.size:
                self._send(b"", 416, {"Content-Range": f"bytes */{file.size}"})
                return
            total = file.size + (value if kind == "size" else 0)
            headers = headers | {"Content-Range": f"bytes {begin}-{end - 1}/{total}"}
        etag = "changed" if kind == "etag" else file.etag
        last = max(end - value, begin) if kind == "truncate" else end
        self._head(status, {
            "ETag": f'"{etag}"', "Accept-Ranges": "bytes", "Content-Length": str(last - begin),
            "Content-Type": "application/octet-stream",
        } | headers)  # fmt: skip
        self.seen.file = file.path
        if self.command != "HEAD":
            self._body(file, begin, last, fault)

    def _body(self, file: Served, begin: int, end: int, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        limit = begin + int(fault.value) if fault and kind in ("break", "stall") else end
        offset = begin
        self.seen.span = (begin, begin)
        for piece in file.pieces(begin, min(end, limit)):
            if fault and kind == "corrupt":
                piece = _changed(piece, int(fault.value) - offset)
            if fault and kind == "slow":
                self.server.hub.released.wait(fault.value)
            # Counted first: a client that has it may look at the count before this thread goes on.
            self._count(begin, offset + len(piece))
            try:
                self.wfile.write(piece)
            except OSError:  # the client has what it wants
                self._count(begin, offset)
                self.close_connection = True
                return
            offset += len(piece)
        if offset < end:
            if kind == "stall":
                self.server.hub.released.wait()
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def _count(self, begin: int, end: int) -> None:
        """So much of a file was sent by now."""
        self.seen.body, self.seen.span = end - begin, (begin, end)

    # --- who may, and how it is said -----------------------------------------------------------

    def _allowed(self) -> set[str]:
        return self.server.hub.tokens.get(self.seen.token, set())

    def _repo(self, name: str, *, content: bool) -> Repo | None:
        """The repository, or the answer that there is none for this login."""
        repo, known = self.server.hub.repos.get(name), self.seen.token in self.server.hub.tokens
        if repo is None or (repo.private and name not in self._allowed()):
            self._refuse(404 if known else 401, "RepoNotFound", "Repository not found")
            return None
        if content and repo.gated and name not in self._allowed():
            message = f"Access to model {name} is restricted."
            self._refuse(403 if known else 401, "GatedRepo", message)
            return None
        return repo

    def _refuse(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        about = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
        self._json({"error": message}, status, about | dict(headers or {}))

    def _json(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(
            json.dumps(body).encode(),
            status,
            {"Content-Type": "application/json"} | (headers or {}),
        )

    def _send(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self._head(status, {"Content-Length": str(len(body))} | headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.seen.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _about(file: Served, commit: str) -> dict[str, str]:
    """The headers from which the client learns what a file is."""
    return {
        "X-Repo-Commit": commit,
        "ETag": f'"{file.etag}"',
        "X-Linked-Etag": f'"{file.etag}"',
        "X-Linked-Size": str(file.size),
    }


def _changed(piece: bytes, index: int) -> bytes:
    if not 0 <= index < len(piece):
        return piece
    return piece[:index] + bytes([piece[index] ^ 0xFF]) + piece[index + 1 :]
