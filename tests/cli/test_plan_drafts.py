"""``gemmahub plan --draft``: what drafts takes memory, and the plan shows how much."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.measurements.speed_log import SpeedLog
from gemmahub.service import Library, run_plan
from gemmahub.service.drafting import speed_name
from plugins.llamaserver.tests.draft_models import write_head, write_with_head

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
HEAD = "mtp-model.gguf"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A Gemma 4 with its draft head beside it."""
    return write_with_head(tmp_path / "models", HEAD)


def planned(command: Command, model: Path, *arguments: object) -> dict[str, Any]:
    found = command("plan", model, "-c", 1024, "--json", *arguments)
    assert found.code == 0, found
    plan: dict[str, Any] = json.loads(found.out)
    return plan


def test_a_draft_head_is_its_own_line(command: Command, model: Path) -> None:
    plain = planned(command, model)
    assert plain["drafter"] is None
    assert plain["memory"]["drafter_bytes"] == 0
    drafted = planned(command, model, "--draft")
    more = drafted["memory"]["drafter_bytes"]
    assert drafted["drafter"] == str(model.with_name(HEAD))
    assert drafted["memory"]["total_bytes"] == plain["memory"]["total_bytes"] + more
    text = command("plan", model, "-c", 1024, "--drafter", model.with_name(HEAD)).out
    assert f"drafts      {HEAD} · 4 MiB" in text
    assert "M model that drafts 4 MiB" in text


def test_a_load_takes_what_was_planned_for_the_head(command: Command, model: Path) -> None:
    actual = planned(command, model, "--draft", "--verify")["actual"]
    (row,) = (row for row in actual["parts"] if row["part"] == "drafter")
    assert row["actual_bytes"] == pytest.approx(row["predicted_bytes"], rel=0.1)
    assert row["actual_bytes"] > 3 * 2**20


def test_a_plan_counts_what_run_would_let_draft(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "kept"))
    here = Library()
    log, variant = SpeedLog(here.config.data), here.chosen(str(model))[0]
    log.add(speed_name(variant, model.with_name(HEAD)), "cpu", 100, 1.0)
    log.add(speed_name(variant, None), "cpu", 100, 2.0)
    assert planned(command, model)["drafter"] == str(model.with_name(HEAD))
    assert planned(command, model, "--no-draft")["drafter"] is None
    assert planned(command, model, "--exact")["drafter"] is None


def test_a_plan_without_a_head_says_how_to_name_one(command: Command, model: Path) -> None:
    model.with_name(HEAD).unlink()
    found = command("plan", model, "--draft")
    assert found.code == 3
    assert "no drafter of" in found.err


@pytest.mark.parametrize("more", [["--draft", "--exact"], ["--drafter", HEAD, "--no-draft"]])
def test_contradictions_are_usage_errors(
    command: Command, model: Path, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    assert command("plan", model, *more).code == 2


def test_a_head_of_another_model_is_refused(command: Command, model: Path) -> None:
    other = write_head(model.with_name("other.gguf"), for_width=256)
    found = command("plan", model, "--drafter", other)
    assert found.code == 1
    assert "other.gguf cannot draft for this model" in found.err


def test_a_recommended_context_makes_room_for_the_head(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemmahub.engines.contract import Settings

    library = Library()
    variant, _ = library.chosen(str(model))
    machine = library.with_sizes(None, "1GiB")
    free = replace(machine.memory.available, value=12 * 2**20)
    small = replace(machine, memory=replace(machine.memory, available=free))
    monkeypatch.setattr(Library, "as_used", lambda _: small)
    alone = Settings(context=4096)
    assert run_plan.beside_drafter(library, variant, alone) is alone
    both = Settings(context=4096, drafter=model.with_name(HEAD))
    found = run_plan.beside_drafter(library, variant, both)
    assert found.context is not None
    assert 0 < found.context < 4096
