"""What ``list`` prints, every command takes, or says exactly why not: for each kind of place."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.testing.model_writer import write_model
from gemmahub.testing.openai_server import EchoingServer
from tests.plugins_from_docs.conftest import HERE, install
from tests.plugins_from_docs.test_others import bottle
from tests.stores.conftest import Hub

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("huggingface", "llama.cpp", "lmstudio", "folder", "ollama", "wheels", "cellar", "served")


def model(folder: Path, number: int) -> bytes:
    """A model of its own for each place, so that no two rows are one."""
    path = folder / f"made-{number}.gguf"
    write_model(path, seed=number)
    return path.read_bytes()


def ollama_tag(root: Path, content: bytes) -> None:
    """A tag as Ollama writes it."""

    def blob(data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (root / "blobs").mkdir(parents=True, exist_ok=True)
        (root / "blobs" / f"sha256-{digest}").write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    media = "application/vnd.ollama.image.model"
    manifest = {
        "schemaVersion": 2,
        "config": blob(b'{"model_format": "gguf"}'),
        "layers": [blob(content) | {"mediaType": media}],
    }
    path = root / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "mine"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(manifest))


@pytest.fixture
def everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A model in each kind of place, and one that a server offers."""
    places = {name: tmp_path / name for name in ("hf", "llama", "home", "mine", "ollama", "cellar")}
    for place in places.values():
        place.mkdir()
    Hub(places["hf"]).add("user/tiny-GGUF", {"tiny-Q4_0.gguf": model(tmp_path, 1)})
    (places["llama"] / "user_other_other-Q4_0.gguf").write_bytes(model(tmp_path, 2))
    studio = places["home"] / ".lmstudio" / "models" / "publisher" / "third"
    studio.mkdir(parents=True)
    (studio / "third-Q4_0.gguf").write_bytes(model(tmp_path, 3))
    (places["mine"] / "fourth-Q4_0.gguf").write_bytes(model(tmp_path, 4))
    ollama_tag(places["ollama"], model(tmp_path, 5))
    bottle(places["cellar"] / "claret.bottle")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))  # the joined model of a package is there
    for name, value in {
        "HF_HUB_CACHE": places["hf"], "LLAMA_CACHE": places["llama"], "HOME": places["home"],
        "GEMMAHUB_FOLDERS": places["mine"], "OLLAMA_MODELS": places["ollama"],
        "CELLAR": places["cellar"], "OLLAMA_HOST": "127.0.0.1:9",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("GEMMAHUB_STORES")
    installed = tmp_path / "installed"
    for name in ("lab", "cellar"):
        install(installed, name, f"gemmahub_{name}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(installed), str(HERE))))
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.syspath_prepend(str(installed))
    with EchoingServer() as server:
        config = Path(os.environ["GEMMAHUB_CONFIG"])
        config.write_text(f'[plugins.lab]\nservers = {{ lab = "{server.address}" }}\n')
        yield


@pytest.mark.usefixtures("everywhere")
def test_what_list_prints_every_command_takes_or_says_why_not(command: Any) -> None:
    listed = json.loads(command("list", "--json").out)
    assert not listed["broken"], listed["broken"]
    rows = {kind_of(row): row for row in listed["models"]}
    assert set(rows) == set(KINDS), sorted(rows)
    shown = command("list").out
    other = rows["folder"]["reference"]
    for kind, row in rows.items():
        reference = row["reference"]
        assert reference in shown, kind
        inspected = command("inspect", reference, "--json")
        assert inspected.code == 0, (kind, inspected.err)
        assert json.loads(inspected.out)["reference"] == reference
        planned = command("plan", reference, "--context", 512)
        answered = command("run", reference, "one two", "--raw", "-n", 2, *backend_for(kind))
        stores = [place["store"] for place in row["places"]]
        named = ("--store", stores[0]) if stores else ()
        removed = command("rm", reference, "--dry-run", *named)
        compared = command("compare", reference, other) if kind != "folder" else None
        assert compared is None or compared.code == 0, (kind, compared.err)
        match kind:
            case "served":
                assert planned.code == 1
                assert "its server" in planned.err
                assert removed.code == 3
                assert "is a model of the server" in removed.err
                assert answered.out.split() == ["one", "two"]
            case "cellar":
                assert planned.code == 5
                assert "bottle" in planned.err
                assert answered.code == 5
                assert "no installed backend runs bottle models" in answered.err
                assert removed.code != 0
                assert "cellar" in removed.err
            case _:
                assert planned.code == 0, (kind, planned.err)
                assert answered.out.split() == ["one", "two"], (kind, answered.err)
                # What a package brought, its store does not remove, and says so.
                assert removed.code == 0 or kind == "wheels", (kind, removed.err)
                assert kind != "wheels" or "does not support removal" in removed.err


def kind_of(row: dict[str, Any]) -> str:
    """The kind of place that a row's model is in."""
    if row["served"]:
        return "served"
    store: str = row["places"][0]["store"]
    return "folder" if "/" in store else store


def backend_for(kind: str) -> tuple[str, ...]:
    """Files of random weights are answered by echo."""
    return () if kind in ("served", "cellar") else ("--backend", "echo")
