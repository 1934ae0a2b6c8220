"""``du``, ``rm`` and ``dedupe`` on real folders with real GGUF files."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.testing.gguf_writer import write_gguf

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
COMMIT = "b" * 40
REPOSITORY = "someone/tiny-GGUF"


@dataclass(frozen=True)
class Places:
    """The same model in the Hugging Face cache, in Ollama's store and in a folder."""

    blob: Path
    ollama: Path
    copy: Path


def gguf(path: Path, name: str = "Tiny", rows: int = 4096) -> bytes:
    metadata = {"general.architecture": "llama", "general.name": name}
    write_gguf(path, metadata, [("token_embd.weight", (256, rows), "F16")])
    return path.read_bytes()


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    source = tmp_path / "source.gguf"
    content = gguf(source)
    source.unlink()
    digest = hashlib.sha256(content).hexdigest()
    hub = tmp_path / "hub" / f"models--{REPOSITORY.replace('/', '--')}"
    blob, snapshot = hub / "blobs" / digest, hub / "snapshots" / COMMIT / "tiny-Q4_0.gguf"
    models = tmp_path / "ollama"
    layer = models / "blobs" / f"sha256-{digest}"
    manifest = models / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "latest"
    copy = tmp_path / "folder" / "copy.gguf"
    for path in (blob, snapshot, layer, manifest, copy, hub / "refs" / "main"):
        path.parent.mkdir(parents=True, exist_ok=True)
    for path in (blob, layer, copy):
        path.write_bytes(content)
    snapshot.symlink_to(os.path.relpath(blob, snapshot.parent))
    (hub / "refs" / "main").write_text(COMMIT)
    media = "application/vnd.ollama.image.model"
    layers = [{"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("OLLAMA_MODELS", str(models))
    monkeypatch.setenv("GEMMAHUB_STORES", "huggingface,ollama")
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(tmp_path / "folder"))
    return Places(blob, layer, copy)


def test_one_model_in_three_stores_is_one_row(command: Command, places: Places) -> None:
    assert not references(command)  # two stores record the sha256, the folder does not
    command("dedupe")  # reads and remembers it, and changes nothing
    models = json.loads(command("list", "--json").out)["models"]
    row = next(model for model in models if len(model["places"]) == 3)
    assert {place["store"] for place in row["places"]} == {
        "huggingface", "ollama", str(places.copy.parent),
    }  # fmt: skip


def test_du_counts_duplicates(command: Command, places: Places) -> None:
    size = places.blob.stat().st_size
    usage = json.loads(command("du", "--json").out)
    assert {row["store"] for row in usage["stores"]} >= {"huggingface", "ollama"}
    assert usage["disk_bytes"] >= 3 * size
    shown = command("du")
    assert "huggingface" in shown.out
    assert "ollama" in shown.out


def test_rm_shows_first_and_touches_no_other_tool(command: Command, places: Places) -> None:
    command("dedupe")
    (reference,) = references(command)
    looked = command("rm", reference, "--dry-run")
    assert looked.code == 0, looked
    assert str(places.blob) in looked.out
    assert "--store ollama" in looked.err
    assert places.blob.exists()
    asked = command("rm", reference)
    assert asked.code == 2
    assert "--yes" in asked.err
    done = command("rm", reference, "--yes")
    assert done.code == 0, done
    assert not places.blob.exists()
    assert not places.copy.exists()
    assert places.ollama.exists()
    named = command("rm", "ollama://tiny", "--store", "ollama", "--yes", "--json")
    assert named.code == 0, named
    assert not places.ollama.exists()
    assert json.loads(named.out)["freed_bytes"] > 0


def test_rm_says_who_has_the_model_open(command: Command, places: Places) -> None:
    command("dedupe")
    (reference,) = references(command)
    with places.blob.open("rb"):
        looked = command("rm", reference, "--dry-run")
    assert f"in use: {places.blob}: " in looked.err
    assert f"(process {os.getpid()}) has it open" in looked.err
    assert "in use" not in command("rm", reference, "--dry-run").err


def references(command: Command) -> list[str]:
    """The models that are known to lie in all three places."""
    models = json.loads(command("list", "--json").out)["models"]
    return [model["reference"] for model in models if len(model["places"]) == 3]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("rm", "gemma-3-4b-it:q4_0-qat"), 3, "not on this machine"),
        (("rm", "gemma-3-4b-it", "--store", "olama"), 2, "ollama"),
        (("dedupe", "--undo"), 3, "nothing was shared"),
        (("dedupe", "--undo", "--apply"), 2, "takes no other option"),
    ],
)
def test_bad_input(
    command: Command, places: Places, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = command(*arguments)
    assert result.code == code, result
    assert words in result.err


def test_dedupe_is_a_plan_until_it_is_applied_and_can_be_undone(
    command: Command, places: Places
) -> None:
    size = places.blob.stat().st_size
    plan = json.loads(command("dedupe", "--json").out)
    assert plan["freed_bytes"] >= 2 * size
    assert inodes(places) == 3
    refused = command("dedupe", "--apply")
    assert refused.code == 2
    done = command("dedupe", "--apply", "--yes")
    assert done.code == 0, done
    assert "--undo" in done.out
    assert inodes(places) == 1
    again = command("dedupe")
    assert "no duplicate files" in again.out
    undone = command("dedupe", "--undo")
    assert undone.code == 0, undone
    assert inodes(places) == 3


def inodes(places: Places) -> int:
    return len({path.stat().st_ino for path in (places.blob, places.ollama, places.copy)})


def test_the_name_of_one_place_removes_that_one(command: Command, places: Places) -> None:
    command("dedupe")  # the folder's copy is known for the same
    models = json.loads(command("list", "--json").out)["models"]
    assert max(len(model["places"]) for model in models) == 3
    plan = command("rm", "ollama://tiny", "--store", "ollama", "--dry-run").out
    assert str(places.ollama) in plan
    assert str(places.blob) not in plan
    assert command("rm", places.copy, "--yes").code == 0
    assert not places.copy.exists()
    assert places.blob.exists()
    assert places.ollama.exists()


def test_what_an_interrupted_download_left_is_named_and_removed(
    command: Command, places: Places, tmp_path: Path
) -> None:
    left = tmp_path / "hub" / "models--user--big-GGUF" / "blobs" / f"{'d' * 64}.incomplete"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x" * 40_000)
    usage = command("du")
    assert "of hf://user/big-GGUF: gemmahub pull continues it" in usage.err
    (row,) = json.loads(command("du", "--json").out)["unfinished"]
    assert row["reference"] == "hf://user/big-GGUF"
    found = command("rm", "user/big-GGUF", "--yes")
    assert (found.code, "unfinished downloads" in found.out) == (0, True)
    assert not left.parent.parent.exists()
    assert command("rm", "user/big-GGUF", "--yes").code == 3


def test_an_interrupted_download_of_a_catalogue_model(
    command: Command, places: Places, tmp_path: Path
) -> None:
    folder = tmp_path / "hub" / "models--google--gemma-3-1b-it-qat-q4_0-gguf"
    left = folder / "blobs" / f"{'d' * 64}.incomplete"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x" * 40_000)
    assert command("rm", "gemma-3-1b-it:q4_0-qat", "--yes").code == 0
    assert not folder.exists()


def test_a_model_in_no_store_cannot_be_removed(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "alone.gguf"
    gguf(path)
    result = command("rm", path)
    assert result.code == 3
    assert path.exists()
