"""``gemmahub pull --draft``: the head that drafts comes with its model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gemmahub.catalog import loader
from gemmahub.catalog.records import Catalog
from gemmahub.testing.hub.models import projector, small_model
from plugins.llamaserver.tests.draft_models import write_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.catalog.records import CatalogVariant
    from gemmahub.testing.hub.server import HubServer
    from tests.conftest import Result

    Command = Callable[..., Result]

REFERENCE = "gemma-4-e4b-it:ud-q4_k_xl-qat"
FILE = "gemma-4-E4B-it-qat-UD-Q4_K_XL.gguf"
MODEL = small_model(**{"general.architecture": "gemma4"})
OTHER = small_model()


def holding(variant: CatalogVariant, head: bytes) -> CatalogVariant:
    """The entry of a model whose files are the small ones of this test."""
    new: dict[str, Any] = {"revision": None, **content(MODEL)}
    for key, data in (("projector", projector()), ("drafter", head)):
        new[key] = msgspec.structs.replace(getattr(variant, key), revision=None, **content(data))
    return msgspec.structs.replace(variant, **new)


def content(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


@pytest.fixture
def head(
    hub_server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[HubServer, bytes]:
    """A hub with a model that the catalogue knows, and the head that drafts for it."""
    head = write_head(tmp_path / "head.gguf").read_bytes()
    real = loader.load_catalog()
    model = real.model("gemma-4-e4b-it")
    known = real.variant("gemma-4-e4b-it", "ud-q4_k_xl-qat")
    assert model is not None
    assert known is not None
    assert known.drafter is not None
    assert known.projector is not None
    mine = replace(model, variants=(holding(known, head),))
    others = [mine if each is model else each for each in real.models]
    catalog = Catalog.of(real.families, others, real.published_tags)
    monkeypatch.setattr(loader, "load_catalog", lambda: catalog)
    own = {known.file: MODEL, known.drafter.file: head, known.projector.file: projector()}
    hub_server.add(known.repository, own)
    return hub_server, head


def test_the_head_is_in_the_plan_and_comes_with_the_model(
    head: tuple[HubServer, bytes], command: Command
) -> None:
    hub, head_bytes = head
    planned = command("pull", REFERENCE, "--draft", "--dry-run")
    assert planned.code == 0, planned.err
    assert "draft head  mtp-gemma-4-E4B-it.gguf · " in planned.out
    assert "in 3 files, one of them the image projector, one of them the draft head" in planned.out
    assert "licence" in planned.out
    plan = json.loads(command("pull", REFERENCE, "--draft", "--dry-run", "--json").out)
    kinds = {file["kind"]: file["size_bytes"] for file in plan["files"]}
    assert kinds["drafter"] == len(head_bytes)
    assert plan["size_bytes"] == sum(kinds.values())
    done = command("pull", REFERENCE, "--draft", "--yes")
    assert done.code == 0, done.err
    _, _, path = done.out.split()
    assert Path(path).read_bytes() == head_bytes
    assert hub.sent("mtp-gemma-4-E4B-it.gguf") == len(head_bytes)


def test_without_the_option_no_head_comes(head: tuple[HubServer, bytes], command: Command) -> None:
    hub, _ = head
    done = command("pull", REFERENCE, "--yes")
    assert done.code == 0
    assert "its draft head is not fetched (mtp-gemma-4-E4B-it.gguf, " in done.err
    assert f"gemmahub pull {REFERENCE} --draft" in done.err
    assert hub.sent("mtp-gemma-4-E4B-it.gguf") == 0


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("gemma-4-12B-it-Q4_0.gguf", "MTP/gemma-4-12B-it-Q4_0-MTP.gguf"),
        ("gemma-4-12B-it-Q8_0.gguf", "mtp-gemma-4-12B-it.gguf"),
        ("gemma-4-31B-it-Q4_0.gguf", ""),
    ],
)
def test_a_head_of_the_same_repository_is_named_and_taken(
    head: tuple[HubServer, bytes], command: Command, name: str, taken: str
) -> None:
    hub, head_bytes = head
    heads = ("MTP/gemma-4-12B-it-Q4_0-MTP.gguf", "mtp-gemma-4-12B-it.gguf")
    other = {each: head_bytes + bytes(number) for number, each in enumerate(heads)}
    hub.add("user/gemma-GGUF", {name: OTHER, **other})
    planned = command("pull", f"hf://user/gemma-GGUF/{name}", "--dry-run")
    assert ("its draft head is not fetched" in planned.out) is bool(taken)
    done = command("pull", f"hf://user/gemma-GGUF/{name}", "--draft", "--yes")
    assert done.code == (0 if taken else 3), done.err
    assert [each for each in heads if hub.sent(each)] == ([taken] if taken else [])


def test_a_model_that_lies_elsewhere_gets_its_head_alone(
    head: tuple[HubServer, bytes],
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub, head_bytes = head
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / FILE).write_bytes(MODEL)
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(folder))
    done = command("pull", REFERENCE, "--draft", "--yes")
    assert done.code == 0, done.err
    assert Path(done.out.strip()).read_bytes() == head_bytes
    assert hub.sent(FILE) == 0


def test_a_model_without_a_known_head_says_so(
    head: tuple[HubServer, bytes], command: Command
) -> None:
    hub, _ = head
    hub.add("user/gemma", {"g-Q4_0.gguf": OTHER})
    found = command("pull", "user/gemma", "--draft")
    assert found.code == 3
    assert "no draft head of hf://user/gemma/g-Q4_0.gguf is known" in found.err
    assert hub.sent("g-Q4_0.gguf") == 0
