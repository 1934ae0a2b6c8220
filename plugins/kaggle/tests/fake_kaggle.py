"""Kaggle on this machine: its API as kagglesdk 0.1.38 asks it, and the storage that it sends to.

The API is POST ``/v1/models.ModelApiService/NAME`` with a JSON object; a download is answered with
a redirect to an address that is signed for a while (kagglesdk ``kaggle_http_client.py``,
``models/services/model_api_service.py``).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

TOKEN = "KGAT_0123456789abcdef0123456789abcdef"
SERVICE = "/v1/models.ModelApiService/"


def md5_of(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


@dataclass
class FakeVariation:
    """The versions of a variation, each a dict of files."""

    versions: dict[int, dict[str, bytes]]
    licence: str = "Gemma"


@dataclass
class FakeKaggle:
    """What it has, by ``owner/model/FRAMEWORK/variation``. ``faults`` map a part of a path to what
    is done there in place of an answer, ``raw`` calls to the bytes of one; ``listed`` changes the
    entries of files. ``gated`` models want a token, and that their licence was ``accepted``."""

    variations: dict[str, FakeVariation] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)
    listed: dict[str, Any] = field(default_factory=dict)
    packed: dict[str, bytes] = field(default_factory=dict)
    gated: bool = False
    accepted: bool = True
    sums: bool = True
    page: int = 200
    signature: int = 1
    url: str = ""
    seen: list[str] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0

    def add(self, name: str, files: dict[str, bytes], version: int = 1) -> None:
        """A version of ``owner/model/framework/variation``; frameworks as the API spells them."""
        self.variations.setdefault(name, FakeVariation({})).versions[version] = files

    # --- the API ---------------------------------------------------------------------------------

    def answer(self, call: str, asked: dict[str, Any]) -> tuple[int, Any]:
        """Status and JSON of a call; of a download, 302 and the address."""
        if call == "ListModels":
            models = self._models(str(asked.get("search", "")))
            return 200, {"models": models[: asked.get("pageSize", 20)], "totalResults": len(models)}
        owner, model = asked.get("ownerSlug"), asked.get("modelSlug")
        if call == "GetModel":
            found = [each for each in self._models("") if each["ref"] == f"{owner}/{model}"]
            return (200, found[0]) if found else (404, {"code": 404, "message": "Not found"})
        framework = str(asked.get("framework", "")).removeprefix("MODEL_FRAMEWORK_")
        name = f"{owner}/{model}/{framework}/{asked.get('instanceSlug')}"
        if name not in self.variations:
            return 404, {"code": 404, "message": "Not found"}
        variation = self.variations[name]
        if call == "GetModelInstance":
            return 200, _instance(name, variation)
        files = variation.versions.get(asked.get("versionNumber", 0))
        if files is None:
            return 404, {"code": 404, "message": "Not found"}
        if call == "ListModelInstanceVersionFiles":
            return 200, self._files(files, asked)
        path = asked.get("path", "")
        if path not in files:
            return 404, {"code": 404, "message": "Not found"}
        ending = ".zip" if path in self.packed else ""
        inside = quote(f"{name}/{asked['versionNumber']}/{path}{ending}")
        # Another host, as the storage is.
        return 302, f"{self.url.replace('127.0.0.1', 'localhost')}/gcs/{self.signature}/{inside}"

    def _models(self, words: str) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name, variation in self.variations.items():
            owner, model, _, _ = name.split("/")
            if words.lower() not in f"{owner}/{model}".lower():
                continue
            entry = {"ref": f"{owner}/{model}", "title": model, "instances": []}
            found.setdefault(model, entry)["instances"].append(_instance(name, variation))
        return list(found.values())

    def _files(self, files: dict[str, bytes], asked: dict[str, Any]) -> dict[str, Any]:
        names = list(files)
        begin = int(asked.get("pageToken") or 0)
        end = begin + min(asked.get("pageSize", 20), self.page)
        entries = [
            {"name": name, "size": len(files[name]), "creationDate": "2025-04-01T10:00:00.1234Z"}
            | self.listed.get(name, {})
            for name in names[begin:end]
        ]
        found: dict[str, Any] = {"files": entries}
        if end < len(names):
            found["nextPageToken"] = str(end)
        return found | self.listed.get("*", {})

    def stored(self, path: str) -> bytes | None:
        """The content at a path of the storage."""
        for name, variation in self.variations.items():
            for version, files in variation.versions.items():
                for file, content in files.items():
                    if path == f"{name}/{version}/{file}":
                        return content
                    if path == f"{name}/{version}/{file}.zip":
                        return self.packed[file]
        return None


def _instance(name: str, variation: FakeVariation) -> dict[str, Any]:
    _, _, framework, slug = name.split("/")
    newest = max(variation.versions)
    return {
        "id": 7,
        "slug": slug,
        "framework": f"MODEL_FRAMEWORK_{framework}",
        "versionNumber": newest,
        "licenseName": variation.licence,
        "totalUncompressedBytes": sum(map(len, variation.versions[newest].values())),
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets, each waited for otherwise
    kaggle: FakeKaggle

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def do_POST(self) -> None:
        kaggle = self.kaggle
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        self._saw()
        if self._fails(f"{self.path} {asked.get('path', '')}"):
            return
        if not self.path.startswith(SERVICE):
            self._send(404, b"<html>nothing</html>", "text/html")
            return
        call = self.path.removeprefix(SERVICE)
        if call in kaggle.raw:
            self._send(200, kaggle.raw[call])
            return
        login = self.headers.get("Authorization", "")
        if login and login != f"Bearer {TOKEN}" and not login.startswith("Basic "):
            self._json(401, {"code": 401, "message": f"Unauthenticated: {login}"})
        elif kaggle.gated and call.startswith("Download") and not login:
            self._json(403, {"code": 403, "message": "Permission 'models.get' was denied"})
        elif kaggle.gated and call.startswith("Download") and not kaggle.accepted:
            said = "User has not consented to terms of use."
            self._json(403, {"code": 403, "message": said})
        else:
            status, found = kaggle.answer(call, asked)
            if status == 302:
                self._send(302, b"", headers={"Location": found})
            else:
                self._json(status, found)

    def do_GET(self) -> None:
        self._saw()
        if self._fails(unquote(self.path)):
            return
        match = re.fullmatch(r"/gcs/(\d+)/(.+)", unquote(self.path))
        if match is None:
            self._send(404, b"nothing", "text/html")
        elif int(match[1]) != self.kaggle.signature:
            self._send(400, b"<Error>ExpiredToken</Error>", "application/xml")
        else:
            self._stored(match[2])

    def _stored(self, path: str) -> None:
        kaggle = self.kaggle
        content = kaggle.stored(path)
        if content is None:
            self._send(404, b"<Error>NoSuchKey</Error>", "application/xml")
            return
        size = len(content)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if "noranges" in kaggle.faults:
            match = None
        begin = int(match[1]) if match else 0
        end = min(int(match[2]) + 1, size) if match and match[2] else size
        if match and begin >= size:
            self._send(416, b"", headers={"Content-Range": f"bytes */{size}"})
            return
        headers = {"Accept-Ranges": "bytes", "x-goog-hash": "crc32c=n03x6A=="}
        if kaggle.sums:
            headers["x-goog-hash"] += f",md5={md5_of(content)}"
        if match:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        body = content[begin:end]
        if "damage" in kaggle.faults:
            body = bytes(byte ^ 1 for byte in body)
        told = len(body)
        if kaggle.faults.pop("drop", None):  # once, in the middle
            body = body[: max(1, told // 2)]
        self.send_response(206 if match else 200)
        for name, value in (headers | {"Content-Length": str(told)}).items():
            self.send_header(name, value)
        self.end_headers()
        step = 64 * 1024
        for at in range(0, len(body), step):
            kaggle.sent += len(body[at : at + step])
            self.wfile.write(body[at : at + step])
            if "slow" in kaggle.faults:
                self.wfile.flush()
                time.sleep(float(kaggle.faults["slow"]))
        self.close_connection = len(body) < told

    def _saw(self) -> None:
        self.kaggle.seen.append(unquote(self.path))
        host = self.headers.get("Host", "").partition(":")[0]
        self.kaggle.logins.append((host, self.headers.get("Authorization", "")))

    def _fails(self, what: str) -> bool:
        """Does what a fault says for this request; whether there was one."""
        faults = self.kaggle.faults
        key = next((part for part in faults if "/" in part and part in what), "")
        fault = faults.get(key, "")
        if fault.startswith("once "):
            del faults[key]
            fault = fault.removeprefix("once ")
        if fault.isdigit():
            self._json(int(fault), {"code": int(fault), "message": "refused"}, retry="0")
        elif fault == "inside":
            self._json(200, {"code": 403, "message": "User has not consented to terms of use."})
        elif fault == "page":
            self._send(200, b"<html>log in to the network</html>", "text/html")
        elif fault == "loop":
            self._send(302, b"", headers={"Location": self.path})
        elif fault == "hang":
            time.sleep(30)
        elif fault.startswith("json "):
            self._send(200, fault.removeprefix("json ").encode(), "application/json")
        elif fault.startswith("to "):
            self._send(302, b"", headers={"Location": fault.removeprefix("to ")})
        return bool(fault)

    def _json(self, status: int, value: Any, retry: str = "") -> None:
        headers = {"Retry-After": retry} if retry else {}
        self._send(status, json.dumps(value).encode(), "application/json", headers)

    def _send(
        self,
        status: int,
        body: bytes,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class RunningKaggle(FakeKaggle):
    """The same, listening on the loopback while it is entered."""

    def __enter__(self) -> RunningKaggle:
        handler = type("Handler", (_Handler,), {"kaggle": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
