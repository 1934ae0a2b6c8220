"""Ollama's registry as a source: what a tag is, from its manifest and a few MB of its header."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import (
    FormatError,
    Gated,
    GemmahubError,
    IntegrityError,
    NetworkError,
    NotFound,
    UsageError,
)
from gemmahub.registry.artifacts import read_summary
from gemmahub.service import Library
from gemmahub.service.remote import find
from gemmahub_ollama.place import MIRROR, place_of
from gemmahub_ollama.source import OllamaSource
from plugins.ollama.tests.fake_registry import RunningRegistry, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.sources import PullProgress, RemoteArtifact

TEMPLATE = (
    b"{{- range .Messages }}<start_of_turn>{{ .Role }}\n{{ .Content }}<end_of_turn>\n{{ end }}"
)
PARAMS = b'{"stop":["<end_of_turn>"],"temperature":1,"top_k":64}'
WEIGHTS = b"GGUF" + os.urandom(150_000)
MLX_LIST = "application/vnd.ollama.manifest.list.v2+json"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningRegistry]:
    with RunningRegistry() as running:
        monkeypatch.setenv(MIRROR, running.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield running


@pytest.fixture
def source() -> Iterator[OllamaSource]:
    source = OllamaSource()
    yield source
    source.client.close()


def add_real(registry: RunningRegistry, path: Path, *, template: bool = True) -> str:
    """The real model under ``gemma3:270m``. Returns its sha256."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    layers = [registry.layer("model", path, f"sha256:{sha256}")]
    if template:
        layers += [registry.layer("template", TEMPLATE), registry.layer("params", PARAMS)]
    registry.add("library/gemma3:270m", registry.manifest(layers))
    return sha256


def add(registry: RunningRegistry, content: bytes = WEIGHTS) -> None:
    registry.add("library/tiny:q4", registry.manifest([registry.layer("model", content)]))


def found_in(source: OllamaSource, reference: str = "ollama://tiny:q4") -> RemoteArtifact:
    found = source.find(reference)
    assert found is not None
    return found


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "url", "tag", "shown"),
    [
        ("gemma3:4b", "https://registry.ollama.ai/v2/library/gemma3", "4b", "gemma3:4b"),
        ("gemma3", "https://registry.ollama.ai/v2/library/gemma3", "latest", "gemma3:latest"),
        ("me/gemma:x", "https://registry.ollama.ai/v2/me/gemma", "x", "me/gemma:x"),
        ("hf.co/u/r:Q4_0", "https://hf.co/v2/u/r", "Q4_0", "hf.co/u/r:Q4_0"),
    ],
)
def test_where_a_name_is(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, tag: str, shown: str
) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    place = place_of(name)
    assert (place.url, place.tag, place.name, place.full_name) == (url, tag, shown, shown)


@pytest.mark.parametrize("name", ["a/b/c/d:e", "..:x", "a/../b:x", "gemma3:", ":4b", "a b:c", ""])
def test_what_is_not_a_name(name: str) -> None:
    with pytest.raises(UsageError):
        place_of(name)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("gemma3", "ollama://gemma3:latest"),
        ("library/gemma3:4b", "ollama://gemma3:4b"),
        ("user/model", "ollama://user/model:latest"),
        ("hf.co/user/repo:Q4_0", "ollama://hf.co/user/repo:Q4_0"),
        ("a/b/c/d:e", None),
        ("", None),
    ],
)
def test_a_name_in_full(monkeypatch: pytest.MonkeyPatch, name: str, full: str | None) -> None:
    monkeypatch.setenv(MIRROR, "not a web address")  # nobody is asked
    assert OllamaSource().bare(name) == full


def test_a_mirror_is_told_to_the_server(registry: RunningRegistry) -> None:
    place = place_of("gemma3:4b")
    host = registry.url.removeprefix("http://")
    assert (place.name, place.full_name) == ("gemma3:4b", f"{host}/library/gemma3:4b")


def test_a_mirror_that_is_not_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, "registry.example.org")
    with pytest.raises(UsageError, match="not a web address"):
        place_of("gemma3:4b")


# --- what a tag is -----------------------------------------------------------------------------


def test_a_tag_is_measured_without_fetching_it(
    registry: RunningRegistry, source: OllamaSource, model_path: Path
) -> None:
    sha256 = add_real(registry, model_path)
    artifact = found_in(source, "ollama://gemma3:270m")
    assert artifact.weights[0].sha256 == sha256
    assert artifact.weights[0].size == model_path.stat().st_size
    assert artifact.texts["template"] == TEMPLATE.decode()
    assert (
        artifact.revision == hashlib.sha256(registry.manifests["library/gemma3:270m"]).hexdigest()
    )

    hub = Library()
    here, there = read_summary(model_path), find(hub, "ollama://gemma3:270m").described(hub)
    assert there.precision.mix == here.mix
    assert there.precision.label == "Q4_K_M"
    assert (there.parameters, there.size_bytes) == (here.parameters, here.size_bytes)
    assert there.artifacts == ()
    assert there.chat_template is True  # Ollama's layer: the file has none
    assert any("temperature" in note for note in there.notes)
    with model_path.open("rb") as file:
        from gemmahub.formats.gguf import read_gguf
        from gemmahub.formats.source import LocalFile

        header = read_gguf(LocalFile(Path(file.name))).data_offset
    assert header <= registry.sent <= header * 1.1, "the header, and hardly more"


def test_inspect_says_it(
    registry: RunningRegistry, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gemmahub.cli.main import run

    add_real(registry, model_path)
    assert run(["inspect", "ollama://gemma3:270m", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["precision"]["bits_per_weight"] == pytest.approx(7.36, abs=0.01)
    assert found["installed"] is False
    assert found["remote"].startswith("ollama://gemma3:270m at ")


def test_no_such_tag(
    registry: RunningRegistry, source: OllamaSource, capsys: pytest.CaptureFixture[str]
) -> None:
    from gemmahub.cli.main import run

    assert source.find("ollama://none:1b") is None
    assert run(["inspect", "ollama://none:1b"]) == 3
    assert "ollama has no ollama://none:1b" in capsys.readouterr().err


def test_a_list_of_manifests(registry: RunningRegistry, source: OllamaSource) -> None:
    gguf = registry.manifest([registry.layer("model", WEIGHTS)]) | {"runner": "ollama"}
    mlx = registry.manifest([registry.layer("tensor", b"t")]) | {"runner": "mlx"}
    children: list[dict[str, Any]] = []
    for child in (mlx, gguf):
        text = json.dumps(child).encode()
        registry.blobs[digest_of(text)] = text
        children.append({"digest": digest_of(text), "runner": child["runner"]})
    registry.add("library/tiny:q4", {"mediaType": MLX_LIST, "manifests": children})
    assert found_in(source).weights[0].sha256 == hashlib.sha256(WEIGHTS).hexdigest()


@pytest.mark.parametrize(
    ("manifest", "error"),
    [
        (b"{", IntegrityError),
        (b'{"layers": 5}', IntegrityError),
        (b'{"layers": [{"digest": "../../etc/passwd"}]}', IntegrityError),
        (b'{"layers": []}', FormatError),
    ],
)
def test_a_manifest_that_is_none(
    registry: RunningRegistry, source: OllamaSource, manifest: bytes, error: type[GemmahubError]
) -> None:
    registry.manifests["library/tiny:q4"] = manifest
    with pytest.raises(error):
        source.find("ollama://tiny:q4")


def test_a_template_with_another_content(registry: RunningRegistry, source: OllamaSource) -> None:
    layers = [registry.layer("model", WEIGHTS), registry.layer("template", TEMPLATE)]
    registry.add("library/tiny:q4", registry.manifest(layers))
    registry.blobs[digest_of(TEMPLATE)] = b"another one"
    with pytest.raises(IntegrityError, match="not match its digest"):
        source.find("ollama://tiny:q4")


def test_a_model_of_many_blobs(registry: RunningRegistry, source: OllamaSource) -> None:
    registry.add("library/tiny:q4", registry.manifest([registry.layer("tensor", b"t")]))
    with pytest.raises(FormatError, match="one blob per tensor"):
        source.find("ollama://tiny:q4")


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("401", Gated, "login"),
        ("429", NetworkError, "limits"),
        ("500", NetworkError, "HTTP 500"),
        ("page", IntegrityError, "not JSON"),
        ("cut", NetworkError, "the connection to .* broke"),
    ],
)
def test_a_registry_that_fails(
    registry: RunningRegistry,
    source: OllamaSource,
    fault: str,
    error: type[GemmahubError],
    message: str,
) -> None:
    add(registry)
    registry.faults["/manifests/"] = fault
    with pytest.raises(error, match=message):
        source.find("ollama://tiny:q4")


def test_a_registry_that_is_not_there(
    registry: RunningRegistry, source: OllamaSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR, "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match="cannot be reached"):
        source.find("ollama://tiny:q4")


def test_offline_is_reported(
    registry: RunningRegistry, source: OllamaSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NetworkError, match="HF_HUB_OFFLINE"):
        source.find("ollama://tiny:q4")
    assert registry.seen == []


def test_without_the_registry_the_catalogue_answers(capsys: pytest.CaptureFixture[str]) -> None:
    from gemmahub.cli.main import run

    assert run(["inspect", "gemma3:4b"]) == 3
    said = capsys.readouterr().err
    assert "Q4_K_M (post-training)" in said
    assert "HF_HUB_OFFLINE" in said
    assert "the QAT build is" in said


# --- reading by ranges -------------------------------------------------------------------------


def test_any_part_and_no_byte_twice(registry: RunningRegistry, source: OllamaSource) -> None:
    add(registry)
    artifact = found_in(source)
    with source.open(artifact, artifact.weights[0]) as blob:
        before = registry.sent
        assert blob.read(0, 4) == b"GGUF"
        assert blob.read(100_000, 50) == WEIGHTS[100_000:100_050]
        assert blob.read(10, 100_000) == WEIGHTS[10:100_010]
        assert registry.sent - before == 100_050
        with pytest.raises(IntegrityError, match="ends at byte 150,004"):
            blob.read(150_000, 5)


def test_a_lost_connection_continues_where_it_was(
    registry: RunningRegistry, source: OllamaSource
) -> None:
    add(registry)
    artifact = found_in(source)
    registry.faults["drop"] = "once"
    with source.open(artifact, artifact.weights[0]) as blob:
        assert blob.read(0, len(WEIGHTS)) == WEIGHTS
    ranges = [wanted for path, wanted in registry.seen if path.startswith("/cdn/")]
    assert len(ranges) == 2
    assert ranges[1].startswith(f"bytes={len(WEIGHTS) // 2}-")


def test_an_address_that_expires_is_requested_again(
    registry: RunningRegistry, source: OllamaSource
) -> None:
    add(registry)
    artifact = found_in(source)
    with source.open(artifact, artifact.weights[0]) as blob:
        blob.read(0, 10)
        registry.signature += 1
        assert blob.read(0, len(WEIGHTS)) == WEIGHTS


@pytest.mark.parametrize(
    ("fault", "message"), [("noranges", "ignores byte ranges"), ("grown", "another file")]
)
def test_a_part_that_is_not_what_was_requested(
    registry: RunningRegistry, source: OllamaSource, fault: str, message: str
) -> None:
    add(registry)
    artifact = found_in(source)
    registry.faults[fault] = "7"
    with (
        source.open(artifact, artifact.weights[0]) as blob,
        pytest.raises(NetworkError, match=message),
    ):
        blob.read(0, 4)


def test_a_blob_that_is_gone(registry: RunningRegistry, source: OllamaSource) -> None:
    add(registry)
    artifact = found_in(source)
    del registry.blobs[f"sha256:{artifact.weights[0].sha256}"]
    with (
        source.open(artifact, artifact.weights[0]) as blob,
        pytest.raises(NotFound, match="no longer has"),
    ):
        blob.read(0, 4)


# --- into a folder -----------------------------------------------------------------------------


def test_into_a_folder(registry: RunningRegistry, source: OllamaSource, tmp_path: Path) -> None:
    projector = b"GGUF" + os.urandom(9_000)
    layers = [
        registry.layer("model", WEIGHTS),
        registry.layer("projector", projector),
        registry.layer("template", TEMPLATE),
    ]
    registry.add("library/tiny:q4", registry.manifest(layers))
    artifact, folder = found_in(source), tmp_path / "new" / "models"
    landing = source.landing(artifact, folder)
    assert landing.need_bytes == len(WEIGHTS) + len(projector)
    seen: list[PullProgress] = []
    pulled = source.pull(artifact, folder, seen.append)
    assert pulled.path == folder / "tiny-q4.gguf"
    assert pulled.path.read_bytes() == WEIGHTS
    assert (folder / "tiny-q4-projector.gguf").read_bytes() == projector
    assert pulled.moved_bytes == landing.need_bytes
    assert {p.name for p in folder.iterdir()} == {"tiny-q4.gguf", "tiny-q4-projector.gguf"}
    assert seen[-1].done_bytes == seen[-1].total_bytes == len(projector)
    assert source.landing(artifact, folder).need_bytes == 0
    assert source.pull(artifact, folder).moved_bytes == 0


def test_an_interrupted_one_continues(
    registry: RunningRegistry, source: OllamaSource, tmp_path: Path
) -> None:
    add(registry)
    artifact = found_in(source)

    def interrupt(progress: PullProgress) -> None:
        if progress.done_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.pull(artifact, tmp_path, interrupt)
    part = tmp_path / "tiny-q4.gguf.part"
    kept = part.stat().st_size
    assert kept > 0
    assert source.landing(artifact, tmp_path).need_bytes == len(WEIGHTS) - kept
    pulled = source.pull(artifact, tmp_path)
    assert pulled.path is not None
    assert pulled.path.read_bytes() == WEIGHTS
    assert pulled.moved_bytes == len(WEIGHTS) - kept
    assert not part.exists()


def test_wrong_content_leaves_nothing(
    registry: RunningRegistry, source: OllamaSource, tmp_path: Path
) -> None:
    add(registry)
    artifact = found_in(source)
    registry.blobs[f"sha256:{artifact.weights[0].sha256}"] = bytes(len(WEIGHTS))
    with pytest.raises(IntegrityError, match="discarded"):
        source.pull(artifact, tmp_path)
    assert list(tmp_path.glob("*.gguf*")) == []


def test_a_folder_that_cannot_be_written(
    registry: RunningRegistry, source: OllamaSource, tmp_path: Path
) -> None:
    add(registry)
    (tmp_path / "file").touch()
    with pytest.raises(GemmahubError, match="file"):
        source.pull(found_in(source), tmp_path / "file")


# --- through the server ------------------------------------------------------------------------


def test_pull_through_the_real_server(
    registry: RunningRegistry,
    source: OllamaSource,
    model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Into an empty store of its own, with the progress that the server tells."""
    from gemmahub.cli.main import run
    from gemmahub_ollama.store import OllamaStore
    from plugins.ollama.tests.conftest import ollama_serve

    sha256 = add_real(registry, model_path)
    artifact = found_in(source, "ollama://gemma3:270m")
    with ollama_serve(tmp_path) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        monkeypatch.setenv("OLLAMA_MODELS", str(server.root))
        assert run(["pull", "ollama://gemma3:270m", "--dry-run", "--json"]) == 0
        plan = json.loads(capsys.readouterr().out)
        assert plan["fetch_bytes"] >= plan["files"][0]["size_bytes"] == model_path.stat().st_size
        assert server.url.removeprefix("http://") in plan["destination"]
        seen: list[PullProgress] = []
        pulled = source.pull(artifact, None, seen.append)
        assert source.landing(artifact).need_bytes == 0
    weights = [progress for progress in seen if progress.file == "gemma3-270m.gguf"]
    assert weights[-1].done_bytes == weights[-1].total_bytes == model_path.stat().st_size
    (stored,) = OllamaStore(server.root).inventory().artifacts
    assert (stored.sha256, stored.reference) == (sha256, pulled.reference)


def test_a_pull_that_the_server_refuses(
    registry: RunningRegistry,
    source: OllamaSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gemmahub.errors import LoadFailed
    from plugins.ollama.tests.fake_server import FakeServer, objects

    add(registry)
    artifact = found_in(source)
    with FakeServer() as fake:
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        fake.answers["/api/pull"] = objects({"status": "pulling"}, {"error": "disk full"})
        with pytest.raises(LoadFailed, match="disk full"):
            source.pull(artifact)
