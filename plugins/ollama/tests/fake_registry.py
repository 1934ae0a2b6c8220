"""A registry on this machine: manifests, blobs behind a redirect, ranges; and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TYPE = "application/vnd.ollama.image."


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class FakeRegistry:
    """What it has. ``faults`` map a part of a path to what is done there instead."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes | Path] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0
    signature: int = 1
    url: str = ""

    def layer(self, kind: str, content: bytes | Path, digest: str = "") -> dict[str, Any]:
        """A blob with that content, and its entry in a manifest."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        if not digest:
            assert isinstance(content, bytes)
            digest = digest_of(content)
        self.blobs[digest] = content
        return {"mediaType": f"{TYPE}{kind}", "digest": digest, "size": size}

    def manifest(self, layers: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": self.layer("config", b'{"model_format":"gguf"}'),
            "layers": layers,
        }

    def add(self, name: str, manifest: dict[str, Any]) -> None:
        """A tag such as ``library/gemma3:4b``."""
        self.manifests[name] = json.dumps(manifest).encode()

    def bytes_of(self, digest: str) -> bytes:
        found = self.blobs[digest]
        return found.read_bytes() if isinstance(found, Path) else found

    def part(self, digest: str, begin: int, end: int) -> bytes:
        found = self.blobs[digest]
        if isinstance(found, bytes):
            return found[begin:end]
        with found.open("rb") as file:
            file.seek(begin)
            return file.read(end - begin)

    def size(self, digest: str) -> int:
        found = self.blobs[digest]
        return len(found) if isinstance(found, bytes) else found.stat().st_size


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: FakeRegistry

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        """An Ollama server asks for the size of a blob first."""
        digest = self.path.rpartition("/")[2]
        self.send_response(200 if digest in self.registry.blobs else 404)
        if digest in self.registry.blobs:
            self.send_header("Content-Length", str(self.registry.size(digest)))
        self.end_headers()

    def do_GET(self) -> None:
        registry = self.registry
        registry.seen.append((self.path, self.headers.get("Range", "")))
        fault = next((f for part, f in registry.faults.items() if part in self.path), "")
        if fault.isdigit():
            self._send(int(fault), b'{"errors":[{"code":"DENIED"}]}')
        elif fault == "page":
            self._send(200, b"<html>log in</html>")
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
            self.close_connection = True
        elif match := re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path):
            self._manifest(match[1], match[2])
        elif match := re.fullmatch(r"/v2/.+/blobs/(sha256:.+)", self.path):
            self._redirect(match[1])
        elif match := re.fullmatch(r"/cdn/(\d+)/(sha256:.+)", self.path):
            self._blob(int(match[1]), match[2], fault)
        else:
            self._send(404, b"{}")

    def _manifest(self, name: str, tag: str) -> None:
        found = self.registry.manifests.get(f"{name}:{tag}")
        if found is None and tag in self.registry.blobs:
            found = self.registry.bytes_of(tag)
        self._send(200 if found is not None else 404, found or b'{"errors":[]}')

    def _redirect(self, digest: str) -> None:
        if digest not in self.registry.blobs:
            self._send(404, b"{}")
            return
        self.send_response(307)
        # Another host, as the registry's storage is: an Ollama server wants it so.
        elsewhere = self.registry.url.replace("127.0.0.1", "localhost")
        self.send_header("Location", f"{elsewhere}/cdn/{self.registry.signature}/{digest}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _blob(self, signature: int, digest: str, fault: str) -> None:
        registry = self.registry
        if signature != registry.signature:
            self._send(403, b"expired")
            return
        size = registry.size(digest)
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        begin, end = (int(match[1]), int(match[2]) + 1) if match else (0, size)
        if "noranges" in registry.faults:
            begin, end, match = 0, size, None
        body = registry.part(digest, begin, end)
        told = len(body)
        if "drop" in registry.faults:  # once, in the middle
            del registry.faults["drop"]
            body = body[: max(1, told // 2)]
        self.send_response(206 if match else 200)
        if match:
            grown = int(registry.faults.get("grown", "0"))
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size + grown}")
        self.send_header("Content-Length", str(told))
        self.end_headers()
        registry.sent += len(body)  # first: who has it may look at once
        self.wfile.write(body)
        if len(body) < told:
            self.close_connection = True

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class RunningRegistry(FakeRegistry):
    """The same, listening on the loopback while it is entered."""

    def __enter__(self) -> RunningRegistry:
        handler = type("Handler", (_Handler,), {"registry": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
