"""``gemmahub run --draft``: what drafts, what that brings, and what the default is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.measurements.speed_log import SpeedLog
from plugins.llamaserver.tests.draft_models import write_head, write_with_head
from plugins.llamaserver.tests.test_adapters import write_adapter

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
HEAD = "mtp-model.gguf"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A Gemma 4 with its draft head beside it."""
    return write_with_head(tmp_path / "models", HEAD)


def run(command: Command, model: Path, *arguments: object) -> Any:
    always = ("--temperature", 0, "-c", 512, "-n", 20, "--threads", 1)
    return command("run", model, "w1w2w3", *always, *arguments)


def drafter(found: Any) -> str | None:
    assert found.code == 0, found
    path: str | None = json.loads(found.out)["drafter"]
    return path


def measured(data: Path, with_drafts: float, without: float) -> None:
    (file,) = data.rglob("speed.sqlite")
    log = SpeedLog(file.parent)
    names = {name: name.endswith(HEAD) for name in log.speeds("cpu")}
    assert sorted(names.values()) == [False, True]
    for name, drafts in names.items():
        for _ in range(20):
            log.add(name, "cpu", 1000, 1000 / (with_drafts if drafts else without))


def test_drafts_are_measured_and_used_where_they_were_faster(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "kept"
    monkeypatch.setenv("GEMMAHUB_DATA", str(data))
    assert drafter(run(command, model, "--json")) is None  # nobody asked, nothing was measured
    assert drafter(run(command, model, "--json", "--draft")) == str(model.with_name(HEAD))
    measured(data, 30.0, 20.0)
    assert drafter(run(command, model, "--json")) == str(model.with_name(HEAD))
    said = "measured here: 30.0 tokens/s with drafts, 20.0 without (1.50x)"
    assert f"drafts by {HEAD}; {said}" in run(command, model).err
    assert drafter(run(command, model, "--json", "--no-draft")) is None
    measured(data, 10.0, 20.0)
    assert drafter(run(command, model, "--json")) is None
    assert "no drafts; measured here: 10.0 tokens/s with drafts" in run(command, model).err


def test_speeds_with_an_adapter_are_not_those_of_the_model(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "kept"
    monkeypatch.setenv("GEMMAHUB_DATA", str(data))
    changes = {"general.architecture": "gemma4"}
    adapter = write_adapter(tmp_path / "lora.gguf", width=128, query=128, **changes)
    assert drafter(run(command, model, "--json", "--adapter", adapter)) is None
    assert drafter(run(command, model, "--json", "--adapter", adapter, "--draft"))
    (file,) = data.rglob("speed.sqlite")
    speeds = set(SpeedLog(file.parent).speeds("cpu"))
    (reference,) = {name.partition(" + ")[0] for name in speeds}
    with_adapter = f"{reference} + adapter lora.gguf"
    assert speeds == {with_adapter, f"{with_adapter} + {HEAD}"}
    measured(data, 30.0, 20.0)
    assert drafter(run(command, model, "--json", "--no-draft")) is None
    assert drafter(run(command, model, "--json")) is None  # nothing is known of the model alone
    assert drafter(run(command, model, "--json", "--adapter", adapter)) == str(
        model.with_name(HEAD)
    )


def test_a_model_without_a_drafter_says_how_to_name_one(command: Command, model: Path) -> None:
    model.with_name(HEAD).unlink()
    found = run(command, model, "--draft")
    assert found.code == 3
    assert "no drafter of" in found.err
    assert "use --drafter FILE" in found.err


def test_a_drafter_of_another_model_is_refused(command: Command, model: Path) -> None:
    other = write_head(model.with_name("other.gguf"), for_width=256)
    found = run(command, model, "--drafter", other)
    assert found.code == 5
    assert "other.gguf cannot draft for this model" in found.err


def test_a_drafter_and_no_drafts_contradict_each_other(command: Command, model: Path) -> None:
    found = run(command, model, "--drafter", model.with_name(HEAD), "--no-draft")
    assert found.code == 2


def test_an_engine_that_drafts_nothing_refuses(command: Command, model: Path) -> None:
    found = run(command, model, "--draft", "--backend", "llama.cpp")
    assert found.code == 5
    assert "llama.cpp cannot load a model with the setting drafter" in found.err
