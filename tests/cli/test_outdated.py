"""Files that their publisher replaced: said by every command, with what to pull instead."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from gemmahub.catalog import loader
from gemmahub.catalog.records import Catalog
from gemmahub.catalog.replaced import ReplacedFile
from gemmahub.testing.hub.models import small_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.testing.hub.server import HubServer
    from tests.conftest import Result

    Command = Callable[..., Result]

REFERENCE: Final = "gemma-4-e2b-it:q4_0-qat"
NEW, OLD, ABORTING, STRANGE = (
    small_model(**{"general.architecture": "gemma4", "general.name": name})
    for name in ("new", "old" * 20, "aborts" * 20, "by a stranger" * 20)
)
PULL: Final = f"gemmahub pull {REFERENCE}"


def gone(date: str, data: bytes, **more: Any) -> ReplacedFile:
    return ReplacedFile(
        date=date, bytes=len(data), wrong=f"what {date} had", grade="B", source="test", **more
    )


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> str:
    """A catalogue whose entry is of the small files of this test; the name of its file."""
    real = loader.load_catalog()
    model, entry = real.model("gemma-4-e2b-it"), real.variant("gemma-4-e2b-it", "q4_0-qat")
    assert model is not None
    assert entry is not None
    sha256 = hashlib.sha256(ABORTING).hexdigest()
    mine = msgspec.structs.replace(
        entry,
        bytes=len(NEW),
        sha256=hashlib.sha256(NEW).hexdigest(),
        revision=None,
        projector=None,
        replaced=(
            gone("2026-06-05", OLD),
            gone("2026-07-15", ABORTING, sha256=sha256, aborts="llama.cpp aborts at its words"),
        ),
    )
    models = [replace(m, variants=(mine,)) if m is model else m for m in real.models]
    catalog = Catalog.of(real.families, models, real.published_tags)
    monkeypatch.setattr(loader, "load_catalog", lambda: catalog)
    return entry.file


def placed(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def test_the_four_sizes_differ() -> None:
    assert len({len(each) for each in (NEW, OLD, ABORTING, STRANGE)}) == 4


def test_list_names_each_replaced_file_and_what_to_pull(
    command: Command, tmp_path: Path, known: str
) -> None:
    placed(tmp_path / "old", known, OLD)
    placed(tmp_path / "new", known, NEW)
    result = command("list", "--folder", tmp_path)
    assert result.code == 0
    assert result.err.count(PULL) == 1
    assert "replaced by its publisher, from 2026-06-05: what 2026-06-05 had" in result.err


def test_list_outdated_shows_nothing_else(command: Command, tmp_path: Path, known: str) -> None:
    old = placed(tmp_path / "old", known, OLD)
    placed(tmp_path / "new", known, NEW)
    placed(tmp_path / "other", known, STRANGE)
    found = json.loads(command("list", "--folder", tmp_path, "--outdated", "--json").out)
    (model,) = found["models"]
    assert [place["path"] for place in model["places"]] == [str(old)]
    assert model["outdated"] == {
        "published": "2026-06-05",
        "reason": "what 2026-06-05 had",
        "aborts": None,
        "pull": REFERENCE,
        "confirmed": True,
    }
    assert model["precision"]["training"] == "QAT"
    assert found["broken"] == []


def test_list_outdated_says_that_there_is_none(
    command: Command, tmp_path: Path, known: str
) -> None:
    placed(tmp_path / "new", known, NEW)
    result = command("list", "--folder", tmp_path, "--outdated")
    assert (result.code, result.out) == (0, "")
    assert "no installed model is known to have been replaced" in result.err


def test_a_strangers_file_of_that_name_is_what_is_in_it(
    command: Command, tmp_path: Path, known: str
) -> None:
    strange = placed(tmp_path / "other", known, STRANGE)
    found = json.loads(command("inspect", strange, "--json").out)
    assert found["outdated"] is None
    assert found["name"].startswith("by a stranger")
    assert found["reference"] == str(strange)


def test_inspect_says_it(command: Command, tmp_path: Path, known: str) -> None:
    result = command("inspect", placed(tmp_path / "old", known, OLD))
    assert PULL in result.out
    assert "replaced by its publisher" in result.out


def test_run_says_it_in_one_line_and_runs(command: Command, tmp_path: Path, known: str) -> None:
    old = placed(tmp_path / "old", known, OLD)
    result = command("run", old, "one", "--backend", "echo")
    assert (result.code, result.out) == (0, "one\n")
    (line,) = [line for line in result.err.splitlines() if "replaced" in line]
    assert PULL in line


def test_one_that_aborts_an_engine_is_not_loaded(
    command: Command, tmp_path: Path, known: str
) -> None:
    bad = placed(tmp_path / "bad", known, ABORTING)
    result = command("run", bad, "one")
    assert result.code == 5
    assert "llama.cpp aborts at its words" in result.err
    assert PULL in result.err
    assert "not loadable" in command("list", "--folder", tmp_path).out
    named = command("run", bad, "one", "--backend", "echo")
    assert (named.code, named.out) == (0, "one\n")
    assert "llama.cpp aborts at its words" in named.err


def test_doctor_says_it(
    command: Command, tmp_path: Path, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed(tmp_path / "old", known, OLD)
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(tmp_path / "old"))
    checks = json.loads(command("doctor", "--json").out)["checks"]
    (check,) = [check for check in checks if check["name"] == "model file"]
    assert check["status"] == "warning"
    assert PULL in check["hint"]


def test_pull_says_what_changed(command: Command, hub_server: HubServer, known: str) -> None:
    repository = "google/gemma-4-E2B-it-qat-q4_0-gguf"
    hub_server.add(repository, {known: OLD})
    first = command("pull", f"hf.co/{repository}/{known}", "--yes")
    assert first.code == 0
    assert PULL in first.err
    hub_server.add(repository, {known: NEW})
    result = command("pull", REFERENCE, "--yes")
    assert result.code == 0, result.err
    assert "of 2026-06-05: what 2026-06-05 had" in result.err
    assert Path(result.out.strip()).read_bytes() == NEW
    found = json.loads(command("list", "--outdated", "--json").out)
    assert len(found["models"]) == 1
