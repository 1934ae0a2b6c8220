"""Ollama's store on disk: names, broken ones, and what leaves with a name."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import GemmahubError
from gemmahub.stores.dedupe import plan_dedupe
from gemmahub.stores.folder import FolderStore
from gemmahub.stores.identity import ContentSums
from gemmahub.stores.linking import dedupe
from gemmahub.stores.removal import finish_removals, plan_removal, remove
from gemmahub_ollama.store import OllamaStore, ollama_stores

if TYPE_CHECKING:
    from conftest import Ollama
    from gemmahub.stores.removal import RemovalPlan

MODEL = b"GGUF" + os.urandom(60_000)
PROJECTOR = b"GGUF" + os.urandom(9_000)
TEMPLATE = b"{{ .Prompt }}"


def plan_for(store: OllamaStore, *names: str) -> RemovalPlan:
    chosen = [a for a in store.inventory().artifacts if a.name in names]
    assert len(chosen) == len(names)
    return plan_removal(chosen, [store], named=[store.name])


def test_no_ollama_is_an_empty_inventory(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "none"):
        inventory = OllamaStore(root).inventory()
        assert (inventory.artifacts, inventory.broken) == ((), ())


def test_a_name_and_its_blobs(ollama: Ollama) -> None:
    ollama.add("gemma3:4b", {"model": MODEL, "projector": PROJECTOR, "template": TEMPLATE})
    (artifact,) = OllamaStore(ollama.root).inventory().artifacts
    assert artifact.name == "gemma3:4b"
    assert artifact.reference == "ollama://gemma3:4b"
    assert artifact.path.read_bytes() == MODEL
    assert artifact.path.name == f"sha256-{artifact.sha256}"
    assert artifact.projector is not None
    assert artifact.projector.read_bytes() == PROJECTOR
    assert (artifact.format, artifact.store, artifact.repository) == ("gguf", "ollama", "")


@pytest.mark.parametrize(
    ("name", "shown", "repository"),
    [
        ("gemma3:latest", "gemma3:latest", ""),
        ("someone/gemma:q4", "someone/gemma:q4", ""),
        ("hf.co/user/repo:Q4_0", "hf.co/user/repo:Q4_0", "user/repo"),
        ("registry.example.org/team/gemma:x", "registry.example.org/team/gemma:x", ""),
    ],
)
def test_names_of_other_registries(ollama: Ollama, name: str, shown: str, repository: str) -> None:
    from gemmahub.registry.reference import SourceReference, parse_reference

    ollama.add(name, {"model": MODEL})
    (artifact,) = OllamaStore(ollama.root).inventory().artifacts
    assert (artifact.name, artifact.repository) == (shown, repository)
    assert isinstance(parse_reference(artifact.reference), SourceReference)
    assert str(parse_reference(artifact.reference)) == artifact.reference


def test_two_names_of_one_model_are_two_places(ollama: Ollama) -> None:
    ollama.add("gemma3:4b", {"model": MODEL})
    ollama.add("gemma3:latest", {"model": MODEL})
    one, two = OllamaStore(ollama.root).inventory().artifacts
    assert one.path == two.path
    assert {one.name, two.name} == {"gemma3:4b", "gemma3:latest"}


def test_a_newer_manifest_goes_before_an_older_one(ollama: Ollama) -> None:
    ollama.add("gemma3:4b", {"model": b"GGUFold"})
    ollama.add_linked("gemma3:4b", ollama.manifest({"model": MODEL}))
    (artifact,) = OllamaStore(ollama.root).inventory().artifacts
    assert artifact.path.read_bytes() == MODEL


@pytest.mark.parametrize("whole", [True, False])
def test_a_list_of_manifests(ollama: Ollama, whole: bool) -> None:
    gguf = {**ollama.manifest({"model": MODEL}), "runner": "ollama", "format": "gguf"}
    mlx = {**ollama.manifest({"tensor": b"t"}), "runner": "mlx", "format": "safetensors"}
    if not whole:
        digests = [ollama.blob(json.dumps(child).encode()) for child in (mlx, gguf)]
        mlx, gguf = (
            {"digest": d, "runner": r} for d, r in zip(digests, ("mlx", "ollama"), strict=True)
        )
    ollama.add_linked(
        "gemma4:e4b",
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.ollama.manifest.list.v2+json",
            "manifests": [mlx, gguf],
        },
    )
    store = OllamaStore(ollama.root)
    (artifact,) = store.inventory().artifacts
    assert artifact.path.read_bytes() == MODEL
    remove(plan_for(store, "gemma4:e4b"), [store], data=ollama.root.parent / "data")
    assert [p for p in ollama.root.rglob("*") if p.is_file()] == []


def test_a_model_without_weights_here_is_nothing(ollama: Ollama) -> None:
    ollama.add("gpt-oss:120b-cloud", {})
    inventory = OllamaStore(ollama.root).inventory()
    assert (inventory.artifacts, inventory.broken) == ((), ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"layers": 5}', "no list of layers"),
        ('{"layers": [5]}', "no list of layers"),
        ('{"layers": [{"digest": "sha256:../../../../etc/passwd"}]}', "without a sha256 digest"),
        ('{"layers": [{"mediaType": "x"}]}', "without a sha256 digest"),
        ('{"config": {"digest": "md5:1"}, "layers": []}', "without a sha256 digest"),
        (
            '{"mediaType": "application/vnd.ollama.manifest.list.v2+json", "manifests": []}',
            "an empty list",
        ),
    ],
)
def test_a_broken_manifest_is_a_row_with_its_reason(ollama: Ollama, text: str, reason: str) -> None:
    ollama.add("gemma3:4b", {"model": MODEL}).write_text(text)
    ollama.add("good:1b", {"model": MODEL})
    inventory = OllamaStore(ollama.root).inventory()
    assert [artifact.name for artifact in inventory.artifacts] == ["good:1b"]
    (broken,) = inventory.broken
    assert broken.reason.startswith("gemma3:4b: ")
    assert reason in broken.reason


def test_a_blob_that_is_missing_or_short(ollama: Ollama) -> None:
    ollama.add("gone:1b", {"model": MODEL})
    ollama.add("short:1b", {"model": PROJECTOR})
    artifacts = {a.name: a for a in OllamaStore(ollama.root).inventory().artifacts}
    artifacts["gone:1b"].path.unlink()
    os.truncate(artifacts["short:1b"].path, 100)
    reasons = [broken.reason for broken in OllamaStore(ollama.root).inventory().broken]
    assert "is missing" in reasons[0]
    assert "has another size than its manifest states" in reasons[1]


def test_one_blob_a_tensor_has_no_file(ollama: Ollama) -> None:
    ollama.add("gemma3:4b-mlx", {"tensor": b"weights"})
    (broken,) = OllamaStore(ollama.root).inventory().broken
    assert "one blob per tensor" in broken.reason


def test_a_link_that_leads_nowhere(ollama: Ollama) -> None:
    path = ollama.add_linked("gemma3:4b", ollama.manifest({"model": MODEL}))
    path.resolve().unlink()
    (broken,) = OllamaStore(ollama.root).inventory().broken
    assert "No such file" in broken.reason


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", f' "{tmp_path}" ')
    assert [store.root for store in ollama_stores()] == [tmp_path]
    monkeypatch.delenv("OLLAMA_MODELS")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ollama_stores()[0].root == tmp_path / ".ollama" / "models"


# --- removal -----------------------------------------------------------------------------------


def test_a_blob_of_another_name_stays(ollama: Ollama, tmp_path: Path) -> None:
    ollama.add("gemma3:4b", {"model": MODEL, "template": TEMPLATE})
    ollama.add("gemma3:latest", {"model": MODEL, "projector": PROJECTOR})
    store = OllamaStore(ollama.root)
    plan = plan_for(store, "gemma3:4b")
    assert {kept.reason for kept in plan.kept} == {"used by gemma3:latest"}
    assert plan.freed_bytes == 4096  # the template
    remove(plan, [store], data=tmp_path / "data")
    (left,) = store.inventory().artifacts
    assert left.name == "gemma3:latest"
    assert left.path.read_bytes() == MODEL
    last = plan_for(store, "gemma3:latest")
    assert last.freed_bytes > len(MODEL) + len(PROJECTOR)
    done = remove(last, [store], data=tmp_path / "data")
    assert done.freed_bytes == last.freed_bytes
    assert [p for p in ollama.root.rglob("*") if p.is_file()] == []
    assert not (ollama.root / "manifests" / "registry.ollama.ai").exists()


def test_it_has_to_be_named(ollama: Ollama) -> None:
    ollama.add("gemma3:4b", {"model": MODEL})
    store = OllamaStore(ollama.root)
    plan = plan_removal(store.inventory().artifacts, [store])
    assert plan.stores == ()
    assert plan.refused[0].reason == "it belongs to Ollama: use --store ollama"


def test_a_manifest_that_cannot_be_read_keeps_all_blobs(ollama: Ollama, tmp_path: Path) -> None:
    ollama.add("gemma3:4b", {"model": MODEL})
    ollama.add("broken:1b", {"model": MODEL}).write_text("{")
    store = OllamaStore(ollama.root)
    plan = plan_for(store, "gemma3:4b")
    assert plan.freed_bytes == 0
    assert {kept.reason for kept in plan.kept} == {
        "broken:1b may use it: its manifest cannot be read"
    }
    remove(plan, [store], data=tmp_path / "data")
    assert len(list((ollama.root / "blobs").iterdir())) == 2


def test_a_name_that_came_since_the_plan_keeps_its_blobs(ollama: Ollama, tmp_path: Path) -> None:
    ollama.add("gemma3:4b", {"model": MODEL})
    store = OllamaStore(ollama.root)
    plan = plan_for(store, "gemma3:4b")
    ollama.add("new:1b", {"model": MODEL})
    done = remove(plan, [store], data=tmp_path / "data")
    assert done.freed_bytes == 0
    assert {kept.reason for kept in done.kept} == {"used by new:1b"}
    assert store.inventory().broken == ()


def test_a_folder_of_manifests_that_cannot_be_read(
    ollama: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    ollama.add("gemma3:4b", {"model": MODEL})
    store = OllamaStore(ollama.root)
    chosen = store.inventory().artifacts
    real = os.scandir

    def closed(path: Path) -> object:
        if Path(path).name == "library":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert store.inventory().broken[0].reason == "Permission denied"
    with pytest.raises(GemmahubError, match="so its users are unknown"):
        plan_removal(chosen, [store], named=["ollama"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_9_at_each_step_of_a_removal(ollama: Ollama, tmp_path: Path) -> None:
    at, killed = 0, True
    while killed:
        ollama.root = tmp_path / f"models{at}"
        ollama.add("gemma3:4b", {"model": MODEL, "template": TEMPLATE})
        ollama.add_linked("gemma3:4b", ollama.manifest({"model": MODEL, "projector": PROJECTOR}))
        ollama.add("stays:1b", {"model": b"GGUFstays", "template": TEMPLATE})
        store, data = OllamaStore(ollama.root), tmp_path / f"data{at}"
        killed = _killed_at(at, plan_for(store, "gemma3:4b"), store, data)
        assert store.inventory().broken == (), "no name leads to a blob that is gone"
        finish_removals(data, [store])
        left = store.inventory()
        assert left.broken == ()
        if at > 0:
            assert [artifact.name for artifact in left.artifacts] == ["stays:1b"]
            assert len(list((ollama.root / "blobs").iterdir())) == 3
        at += 1
    assert at > 8


def _killed_at(at: int, plan: RemovalPlan, store: OllamaStore, data: Path) -> bool:
    child = os.fork()
    if child == 0:
        steps = iter(range(1000))

        def step(text: str) -> None:
            if next(steps) == at:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            remove(plan, [store], data=data, on_step=step)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_its_blobs_can_be_shared_with_a_folder(ollama: Ollama, tmp_path: Path) -> None:
    ollama.add("gemma3:4b", {"model": MODEL})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "gemma.gguf").write_bytes(MODEL)
    stores = (OllamaStore(ollama.root), FolderStore(tmp_path / "mine", "mine"))
    artifacts = [artifact for store in stores for artifact in store.inventory().artifacts]
    plan = plan_dedupe(artifacts, stores, ContentSums(None))
    dedupe(plan, data=tmp_path / "data")
    (artifact,) = stores[0].inventory().artifacts
    assert artifact.path.samefile(tmp_path / "mine" / "gemma.gguf")
    assert artifact.path.read_bytes() == MODEL


def test_one_of_several_names_goes_and_the_weights_stay(ollama: Ollama, tmp_path: Path) -> None:
    layers = {"model": MODEL, "template": TEMPLATE}
    ollama.add("gemma3:270m", layers)
    ollama.add("pirate:latest", layers | {"system": b"You are a pirate.", "messages": b"[]"})
    ollama.add("tuned:latest", layers | {"adapter": b"GGUF" + b"a" * 5000})
    store = OllamaStore(ollama.root)
    plan = plan_for(store, "gemma3:270m")
    assert plan.freed_bytes == 0
    assert [lost for each in plan.stores for lost in each.lost] == []
    remove(plan, [store], data=tmp_path / "data")
    assert {a.name for a in store.inventory().artifacts} == {"pirate:latest", "tuned:latest"}
    plan = plan_for(store, "pirate:latest", "tuned:latest")
    assert plan.freed_bytes > len(MODEL)
    assert [lost for each in plan.stores for lost in each.lost] == [
        "ollama://pirate:latest: SYSTEM, MESSAGE",
        "ollama://tuned:latest: ADAPTER",
    ]
