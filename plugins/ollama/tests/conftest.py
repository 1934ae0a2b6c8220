"""An Ollama folder as Ollama writes it, and a real server with the real Gemma 3 270M."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.engines.contract import Artifact

HOST = "registry.ollama.ai"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Ollama:
    """An Ollama folder, laid out as ``manifest/manifest.go`` and ``manifest/layer.go`` do."""

    root: Path
    config: bytes = b'{"model_format": "gguf"}'

    def blob(self, content: bytes) -> str:
        path = self.root / "blobs" / f"sha256-{sha256(content)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(content)
        return f"sha256:{sha256(content)}"

    def layer(self, kind: str, content: bytes) -> dict[str, object]:
        return {
            "mediaType": f"application/vnd.ollama.image.{kind}",
            "digest": self.blob(content),
            "size": len(content),
        }

    def manifest(self, layers: dict[str, bytes]) -> dict[str, object]:
        return {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": self.layer("container.image.v1+json", self.config),
            "layers": [self.layer(kind, content) for kind, content in layers.items()],
        }

    def path(self, name: str, folder: str = "manifests") -> Path:
        """Where the manifest of a name lies."""
        model, _, tag = name.rpartition(":")
        parts = model.split("/")
        parts = [HOST, "library"][: 3 - len(parts)] + parts
        path = self.root.joinpath(folder, *parts, tag)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add(self, name: str, layers: dict[str, bytes]) -> Path:
        """A tag such as ``gemma3:4b``. Returns the path of its manifest."""
        path = self.path(name)
        path.write_text(json.dumps(self.manifest(layers)))
        return path

    def add_linked(self, name: str, manifest: dict[str, object]) -> Path:
        """A tag of newer versions: its manifest is a link to a blob. Returns the path of that."""
        digest = self.blob(json.dumps(manifest).encode())
        path = self.path(name, "manifests-v2")
        depth = "../" * (len(path.relative_to(self.root).parts) - 1)
        path.symlink_to(f"{depth}blobs/{digest.replace(':', '-')}")
        return path


@pytest.fixture(autouse=True)
def own_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads this user's settings, stores or server, and none asks the network."""
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_STORES", "")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("GEMMAHUB_PLUGINS", "GEMMAHUB_FOLDERS", "OLLAMA_HOST", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ollama(tmp_path: Path) -> Ollama:
    """An empty Ollama folder."""
    return Ollama(tmp_path / "ollama" / "models")


# --- a real server -----------------------------------------------------------------------------

BINARY = "GEMMAHUB_TEST_OLLAMA"
NO_SERVER = (
    f"the real Ollama server is not tested: no ollama is on the PATH, and {BINARY} names none "
    "(.ci/run builds one where Go is there)"
)
NAME = "gemma-3-270m:q4_k_m"


@dataclass
class RealServer:
    """A running ``ollama serve`` with a store of its own, which holds the real Gemma 3 270M."""

    url: str
    root: Path
    pid: int
    binary: str

    @property
    def artifact(self) -> Artifact:
        """The model, as the store on disk tells it."""
        from gemmahub_ollama.store import OllamaStore

        found = OllamaStore(self.root).inventory().artifacts
        return next(artifact for artifact in found if artifact.name == NAME)


def ollama_binary() -> str | None:
    """The program under test, None where it is not here."""
    return os.environ.get(BINARY) or shutil.which("ollama")


@contextmanager
def ollama_serve(home: Path, **environment: str) -> Iterator[RealServer]:
    """A server of its own, ended afterwards."""
    binary = ollama_binary()
    if binary is None:
        pytest.skip(NO_SERVER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    root = home / "models"
    own = {"HOME": str(home), "OLLAMA_MODELS": str(root), "OLLAMA_HOST": host}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "serve"], env=os.environ | own | environment, stdout=log, stderr=log
        )
    try:
        _wait_for(process, f"http://{host}", home / "log")
        yield RealServer(f"http://{host}", root, process.pid, binary)
    finally:
        process.terminate()  # it ends its runners, too
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until the server answers."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/api/version", timeout=1):
                return
        except urllib.error.HTTPError as not_yet:
            not_yet.close()
        except OSError:
            continue
    pytest.fail(f"ollama serve ended: {log.read_text()[-500:]}")


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The real Gemma 3 270M, Q4_K_M: a base model without a chat template."""
    from gemmahub_wheels.store import WheelStore

    (artifact,) = WheelStore().inventory().artifacts
    return artifact.path


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Iterator[RealServer]:
    """One server for all tests that change nothing in it but what they load."""
    from gemmahub_ollama.address import server_address
    from gemmahub_ollama.server import OllamaServer

    with ollama_serve(tmp_path_factory.mktemp("ollama")) as running:
        with OllamaServer(server_address(running.url)) as server:
            server.create(NAME, {"model.gguf": server.upload(model_path)})
        yield running


@pytest.fixture
def at_server(real_server: RealServer, monkeypatch: pytest.MonkeyPatch) -> RealServer:
    """The real server as the one that gemmahub finds."""
    monkeypatch.setenv("OLLAMA_HOST", real_server.url)
    monkeypatch.setenv("OLLAMA_MODELS", str(real_server.root))
    monkeypatch.setenv("GEMMAHUB_STORES", "ollama")
    return real_server
