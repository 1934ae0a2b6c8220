"""A tag that its publisher moved: who has what it had before is told, everywhere."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from gemmahub.catalog import loader
from gemmahub.catalog.published import ReplacedTag
from gemmahub.catalog.records import Catalog
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]

TYPE: Final = "application/vnd.ollama.image."
TAG: Final = "ollama://gemma4:26b"
TOLD: Final = "replaced by its publisher, from 2026-05-05: the tag has another build"
PULL: Final = f"gemmahub pull {TAG}"


def tagged(root: Path, tag: str, weights: bytes, head: bytes = b"") -> str:
    """A tag in a store of Ollama's, with a draft head beside the weights; its manifest's sha256."""
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    layers = []
    for kind, content in (("model", weights), ("draft", head)):
        if content:
            digest = hashlib.sha256(content).hexdigest()
            (root / "blobs" / f"sha256-{digest}").write_bytes(content)
            about = {"digest": f"sha256:{digest}", "size": len(content)}
            layers.append({"mediaType": TYPE + kind, **about})
    text = json.dumps({"schemaVersion": 2, "layers": layers}).encode()
    path = root / "manifests/registry.ollama.ai/library" / tag.replace(":", "/")
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    return hashlib.sha256(text).hexdigest()


@pytest.fixture(params=["before", "now"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bool]:
    """A store with ``gemma4:26b`` as it was before, or as it is now with its draft head."""
    write_model(tmp_path / "tiny.gguf")
    old, root = request.param == "before", tmp_path / "ollama"
    weights = (tmp_path / "tiny.gguf").read_bytes()
    sha256 = tagged(root, "gemma4:26b", weights, b"" if old else b"GGUF, a head")
    catalog = loader.load_catalog()
    tags = [_known(tag, sha256, old) if tag.reference == TAG else tag for tag in _tags(catalog)]
    made = Catalog.of(catalog.families, catalog.models, tags, catalog.members)
    monkeypatch.setattr(loader, "load_catalog", lambda: made)
    monkeypatch.setenv("OLLAMA_MODELS", str(root))
    monkeypatch.setenv("GEMMAHUB_STORES", "ollama")
    return {"old": old}


def _tags(catalog: Catalog) -> tuple[Any, ...]:
    return catalog.published_tags


def _known(tag: Any, sha256: str, old: bool) -> Any:
    """The real entry, which knows the manifest of this test."""
    if not old:
        return msgspec.structs.replace(tag, manifest_sha256=sha256, digest=sha256[:12])
    (before,) = tag.replaced
    return msgspec.structs.replace(
        tag, replaced=(msgspec.structs.replace(before, digest=sha256[:12]),)
    )


def test_list_and_doctor_say_it(command: Command, store: dict[str, bool]) -> None:
    result = command("list")
    assert (f"{TAG}: {TOLD}" in result.err) is store["old"]
    assert (PULL in result.err) is store["old"]
    found = json.loads(command("list", "--outdated", "--json").out)
    assert [each["reference"] for each in found["models"]] == ([TAG] if store["old"] else [])
    told = command("doctor").out
    assert (TOLD in " ".join(told.split())) is store["old"]


def test_inspect_shows_it_or_the_files_beside_the_weights(
    command: Command, store: dict[str, bool]
) -> None:
    shown = " ".join(command("inspect", "gemma4:26b").out.split())
    assert (TOLD in shown) is store["old"]
    assert ("its tag has a draft head (MTP) beside the weights" in shown) is not store["old"]
    assert ("its tag has DRAFT" in shown) is not store["old"]
    outdated = json.loads(command("inspect", TAG, "--json").out)["outdated"]
    assert (outdated and outdated["pull"]) == (TAG if store["old"] else None)


def test_it_is_said_before_a_run(command: Command, store: dict[str, bool]) -> None:
    result = command("run", "gemma4:26b", "hello", "--backend", "ollama")
    assert (f"{TAG}: {TOLD}" in result.err) is store["old"]


def test_the_tag_of_the_catalogue_knows_what_it_had_before() -> None:
    tag = loader.load_catalog().published("gemma4:26b")
    assert tag is not None
    why = tag.outdated("5571076f3d70" + "0" * 52)
    assert why is not None
    assert (why.date, why.pull, why.confirmed) == ("2026-05-05", TAG, True)
    assert tag.outdated(tag.manifest_sha256 or "") is None
    assert tag.outdated("") is None
    assert tag.outdated("f" * 64) is None


def test_a_tag_before_it_was_moved_has_a_day() -> None:
    with pytest.raises(ValueError, match="'soon' is not a date"):
        ReplacedTag(date="soon", digest="0" * 12, wrong="x", grade="B", source="s")
