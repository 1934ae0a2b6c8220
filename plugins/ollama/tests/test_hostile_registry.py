"""A registry that drips, bombs, lies, or never ends: refused in words, within limits."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.cli.main import run
from gemmahub.errors import (
    IntegrityError,
    NetworkError,
)
from gemmahub.http.limits import Limits
from gemmahub.testing.hub.models import small_model
from gemmahub_ollama.place import MIRROR
from tests.http.hostile_server import DRIPS, Conversation, Script, endless, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEIGHTS = small_model()
SHA = hashlib.sha256(WEIGHTS).hexdigest()
BOMB = gzip.compress(bytes(64 << 20), 9)


def bomb(there: Conversation) -> None:
    there.answer(BOMB, Content_Encoding="gzip")


def says(value: Any) -> Script:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda there: there.answer(body)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions have hardly any time."""
    monkeypatch.setattr("gemmahub_ollama.registry.LIMITS", Limits(total=0.4))


def manifest(**changes: Any) -> dict[str, Any]:
    layer = {
        "mediaType": "application/vnd.ollama.image.model",
        "digest": f"sha256:{SHA}",
        "size": len(WEIGHTS),
    }
    return {"schemaVersion": 2, "layers": [layer | changes]}


def blob(there: Conversation) -> None:
    if "range: " not in there.asked:
        there.answer(WEIGHTS)
        return
    begin, _, end = there.asked.partition("range: bytes=")[2].split("\r\n")[0].partition("-")
    there.answer(
        WEIGHTS[int(begin) : int(end) + 1],
        "206 Partial Content",
        Content_Range=f"bytes {begin}-{end}/{len(WEIGHTS)}",
    )


def first(count: int) -> Script:
    """So many layers of the same template."""
    layer = {"mediaType": "application/vnd.ollama.image.template", "digest": f"sha256:{SHA}"}
    return says({"layers": [*manifest()["layers"], *([layer | {"size": 5}] * count)]})


two = manifest()
two["layers"].append(two["layers"][0] | {"digest": f"sha256:{'b' * 64}"})
digits = "9" * 5000
REGISTRY: dict[str, tuple[Script, Script, set[int]]] = {
    "honest": (says(manifest()), blob, {0}),
    **{f"manifest drips: {name}": (script, blob, {6, 7}) for name, script in DRIPS.items()},
    "manifest without end": (endless(b" " * 65536, b'{"layers":['), blob, {6}),
    "manifest as a bomb": (bomb, blob, {6}),
    "manifest of brackets": (says(b"[" * 100_000), blob, {7}),
    "manifest of small values": (says(b'{"layers":[' + b"[]," * 300_000 + b"1]}"), blob, {7}),
    "manifest of many layers": (says({"layers": [{}] * 10_001}), blob, {7}),
    "many templates": (first(1000), blob, {0}),
    "two models": (says(two), blob, {1}),
    **{
        f"digest {digest!r:.30}": (says(manifest(digest=digest)), blob, {7})
        for digest in ("sha256:../../x", f"sha256:{'a' * 64}\n", f"sha256:{'a' * 63}/", 5, None, "")
    },
    **{
        f"size {size!r:.20}": (says(manifest(size=size)), blob, {7})
        for size in (10**400, -1, 1.5, "5", True, None, [], 2**63)
    },
    "size that is more than the disk": (says(manifest(size=2**62)), blob, {4, 6}),
    "media type of another kind": (says(manifest(mediaType=["x"])), blob, {1}),
    "range of many digits": (
        says(manifest()),
        lambda there: there.answer(
            WEIGHTS, "206 Partial Content", Content_Range=f"bytes 0-{digits}/{digits}"
        ),
        {6},
    ),
    "blob drips its head": (says(manifest()), DRIPS["head"], {6}),
    "blob redirects to a file": (
        says(manifest()),
        lambda there: there.answer(status="307 Moved", Location="file:///nothing"),
        {6},
    ),
    "blob redirects in a circle": (
        says(manifest()),
        lambda there: there.answer(status="307 Moved", Location=there.path),
        {6},
    ),
    "a login elsewhere": (
        lambda there: there.answer(
            b"{}", "401 Unauthorized", WWW_Authenticate='Bearer realm="http://127.0.0.1:1/"'
        ),
        blob,
        {6},
    ),
}


@pytest.fixture
def _registry_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("OLLAMA_API_KEY", "secret-key")
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "ollama")
    monkeypatch.setattr("gemmahub.http.limits.FLOOR_SECONDS", 0.2)
    return


@pytest.mark.usefixtures("_registry_settings", "brief")
@pytest.mark.parametrize(("manifests", "blobs", "codes"), REGISTRY.values(), ids=REGISTRY)
def test_a_pull_ends_whatever_the_registry_sends(
    manifests: Script,
    blobs: Script,
    codes: set[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def script(there: Conversation) -> None:
        (manifests if "/manifests/" in there.path else blobs)(there)

    folder = tmp_path / "to"
    folder.mkdir()
    with serving(script) as server:
        monkeypatch.setenv(MIRROR, server.url)
        code = run(["pull", "ollama://gemma3:4b", "--to", str(folder), "--yes"])
        assert len(server.asked) < 20
        assert server.sent < 100 << 20
        assert not [asked for asked in server.asked if "secret-key" in asked]
    captured = capsys.readouterr()
    assert code in codes, captured.err
    assert "defect" not in captured.err
    assert [path.name for path in tmp_path.rglob("*") if path.suffix == ".gguf"] == (
        ["gemma3-4b.gguf"] if code == 0 else []
    )


@pytest.mark.usefixtures("_registry_settings")
def test_a_blob_that_trickles_is_requested_once_more_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemmahub_ollama.source import OllamaSource

    ranges: list[int] = []
    size = 1 << 30

    def script(there: Conversation) -> None:
        if "/manifests/" in there.path:
            says(manifest(size=size))(there)
            return
        begin = int(there.asked.partition("range: bytes=")[2].partition("-")[0])
        ranges.append(begin)
        there.send(
            b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\n"
            b"Content-Range: bytes %d-%d/%d\r\n\r\n" % (size - begin, begin, size - 1, size)
        )
        there.forever(iter(lambda: b"x", b""), pause=0.02)

    with serving(script) as server:
        monkeypatch.setenv(MIRROR, server.url)
        source = OllamaSource()
        artifact = source.find("ollama://gemma3:4b")
        assert artifact is not None
        with pytest.raises(NetworkError, match=r"only .* in") as failure:
            source.pull(artifact, tmp_path)
    assert "kept" in failure.value.hint
    kept = (tmp_path / "gemma3-4b.gguf.part").stat().st_size
    assert kept > 0
    assert ranges[0] == 0
    assert len(ranges) == 2
    assert 0 < ranges[1] <= kept


@pytest.mark.usefixtures("_registry_settings")
def test_a_manifest_on_disk_that_is_not_a_file_is_a_row(tmp_path: Path) -> None:
    from gemmahub_ollama.manifests import BadManifest, read_manifest

    pipe = tmp_path / "tag"
    os.mkfifo(pipe)
    with pytest.raises(BadManifest, match="not a file"):
        read_manifest(tmp_path, pipe)
    endless_file = tmp_path / "other"
    with endless_file.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadManifest, match="too large"):
        read_manifest(tmp_path, endless_file)


@pytest.mark.usefixtures("_registry_settings")
def test_a_text_of_another_content_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from gemmahub_ollama.source import OllamaSource

    with serving(says(b"x" * 100)) as server:
        monkeypatch.setenv(MIRROR, server.url)
        source = OllamaSource()
        with pytest.raises(IntegrityError):
            source.find("ollama://gemma3:4b")
