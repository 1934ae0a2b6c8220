"""Debian's ``docker-registry`` as Ollama's registry: the protocol as others speak it.

An Ollama server pulls only from registries that redirect, which this one does not.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from gemmahub.service import Library
from gemmahub.service.remote import find
from gemmahub_ollama.place import MIRROR
from gemmahub_ollama.source import OllamaSource

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
TYPE = "application/vnd.ollama.image."
TEMPLATE = b"{{ .Prompt }}"
PROGRAM = "docker-registry"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a registry with an empty storage."""
    program = shutil.which(PROGRAM)
    if program is None:
        pytest.skip(f"the real registry is not tested: {PROGRAM} is not installed (.ci/run does)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: {host}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/storage}}}}\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(folder / "config.yml")], stdout=log, stderr=log, env=os.environ
        )
    try:
        while process.poll() is None:
            try:
                httpx2.get(f"http://{host}/v2/", trust_env=False)
                break
            except httpx2.TransportError:
                continue
        assert process.poll() is None, (folder / "log").read_text()
        yield f"http://{host}"
    finally:
        process.terminate()
        process.wait()


def push(client: httpx2.Client, name: str, kind: str, content: bytes | Path) -> dict[str, Any]:
    """A blob, as ``docker push`` and ``ollama push`` upload it; its entry in a manifest."""
    data = content.read_bytes() if isinstance(content, Path) else content
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    begun = client.post(f"/v2/{name}/blobs/uploads/")
    place = httpx2.URL(begun.headers["location"]).copy_merge_params({"digest": digest})
    client.put(place, content=data).raise_for_status()
    return {"mediaType": kind, "digest": digest, "size": len(data)}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Iterator[str]:
    """A registry with the real model as ``gemma3:270m``."""
    with (
        serving(tmp_path_factory.mktemp("registry")) as url,
        httpx2.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        name = "library/gemma3"
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": push(
                client, name, CONFIG, b'{"model_format":"gguf","model_family":"gemma3"}'
            ),
            "layers": [
                push(client, name, f"{TYPE}model", model_path),
                push(client, name, f"{TYPE}template", TEMPLATE),
            ],
        }
        client.put(
            f"/v2/{name}/manifests/270m",
            content=json.dumps(manifest).encode(),
            headers={"Content-Type": MANIFEST},
        ).raise_for_status()
        yield url


@pytest.fixture
def mirror(registry: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(MIRROR, registry)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    return registry


def test_a_tag_is_measured(mirror: str, model_path: Path) -> None:
    hub = Library()
    found = find(hub, "ollama://gemma3:270m")
    precision = found.described(hub).precision
    assert precision.label == "Q4_K_M"
    assert precision.bits_per_weight == pytest.approx(7.36, abs=0.01)
    assert found.artifact.weights[0].size == model_path.stat().st_size
    source = found.source
    assert isinstance(source, OllamaSource)
    assert source.client.received_bytes < model_path.stat().st_size / 20
    assert source.find("ollama://gemma3:none") is None
    assert source.find("ollama://none") is None


def test_pull_into_a_folder(mirror: str, model_path: Path, tmp_path: Path, capsys: Any) -> None:
    from gemmahub.cli.main import run

    folder = tmp_path / "models"
    assert run(["pull", "ollama://gemma3:270m", "--to", str(folder), "--yes"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder / 'gemma3-270m.gguf'}\n"
    assert "Q4_K_M" in err
    assert (folder / "gemma3-270m.gguf").stat().st_size == model_path.stat().st_size
    assert run(["pull", "ollama://gemma3:270m", "--to", str(folder), "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fetched_bytes"] == 0


def test_pull_without_a_server_says_what_to_do(
    mirror: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gemmahub.cli.main import run

    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    assert run(["pull", "ollama://gemma3:270m"]) == 5
    said = capsys.readouterr().err
    assert "no Ollama server answers" in said
    assert "--to FOLDER" in said
