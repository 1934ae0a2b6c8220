"""``gemmahub serve`` with what drafts, and with adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import gemmahub
from gemmahub.errors import DoesNotFit, NotFound, UsageError
from gemmahub.measurements.speed_log import SpeedLog
from gemmahub.memory import MachineMemory
from gemmahub.service.adapters import adapters_of
from gemmahub.service.drafting import speed_name
from gemmahub.service.serving.choosing import (
    ServedWith,
    offered,
    planned,
    planned_models,
)
from gemmahub.service.serving.room import Wish
from plugins.llamaserver.tests.draft_models import write_gemma4, write_with_head
from plugins.llamaserver.tests.test_adapters import write_adapter
from tests.service.serving_support import serving

if TYPE_CHECKING:
    from pathlib import Path

ROOM = MachineMemory((), 1 << 40, 1 << 40)
HEAD = "mtp-model.gguf"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A Gemma 4 with its draft head beside it."""
    return write_with_head(tmp_path / "models", HEAD)


def total(model: Path, beside: ServedWith) -> int:
    (one,) = offered(gemmahub.open(), [str(model)], (), beside)
    return planned((one,), Wish(context=1024), ROOM).plans[one.name].total_bytes


def chosen(model: Path, beside: ServedWith) -> str | None:
    (one,) = offered(gemmahub.open(), [str(model)], (), beside)
    return None if one.beside.drafter is None else one.beside.drafter.name


def test_what_drafts_and_adapters_are_counted_together(model: Path, tmp_path: Path) -> None:
    changes = {"general.architecture": "gemma4"}
    adapter = write_adapter(tmp_path / "lora.gguf", width=128, query=128, **changes)
    plain = total(model, ServedWith())
    assert total(model, ServedWith(draft=True)) > plain + 2 * 2**20
    (loaded,) = adapters_of([str(adapter)])
    assert total(model, ServedWith(adapters=(loaded,))) == plain + 4 * 4 * (128 + 128)


def test_drafts_follow_what_was_measured(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "kept"))
    here = gemmahub.open()
    assert chosen(model, ServedWith()) is None
    log = SpeedLog(here.config.data)
    log.add(speed_name(here.chosen(str(model))[0], model.with_name(HEAD)), "cpu", 100, 1.0)
    log.add(speed_name(here.chosen(str(model))[0], None), "cpu", 100, 2.0)
    assert chosen(model, ServedWith()) == HEAD
    assert chosen(model, ServedWith(draft=False)) is None


def test_what_is_for_one_model_needs_exactly_one(model: Path, tmp_path: Path) -> None:
    other = write_gemma4(tmp_path / "other.gguf")
    beside = ServedWith(drafter=model.with_name(HEAD))
    here = gemmahub.open()
    for references in ([], [str(model), str(other)]):
        with pytest.raises(UsageError, match="belongs to one model"):
            offered(here, references, (), beside)
    assert offered(here, [str(model)], [str(model)], beside)[0].beside == beside
    with pytest.raises(NotFound, match="no drafter of"):
        offered(here, [str(other)], (), ServedWith(draft=True))


def test_an_unrequested_head_does_not_exclude_a_model(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "kept"))
    here = gemmahub.open()
    log, variant = SpeedLog(here.config.data), here.chosen(str(model))[0]
    log.add(speed_name(variant, model.with_name(HEAD)), "cpu", 100, 1.0)
    log.add(speed_name(variant, None), "cpu", 100, 2.0)
    wish = Wish(context=1024)
    size = total(model, ServedWith(draft=False)) + 2**16
    tight = MachineMemory((), size, size)
    found = planned_models(here, [str(model)], ServedWith(), wish, tight)
    assert found.models[0].beside.drafter is None
    assert found.plans[str(model)].fits
    with pytest.raises(DoesNotFit):
        planned_models(here, [str(model)], ServedWith(draft=True), wish, tight)


def test_a_served_model_drafts(model: Path, tmp_path: Path) -> None:
    words = (model, "--draft", "-c", 1024)
    with serving(*words, data=tmp_path / "data") as server:
        (engine,) = server.engines()
        assert "--spec-draft-model" in " ".join(engine.cmdline())
        assert HEAD in " ".join(engine.cmdline())
        body = {"model": str(model), "prompt": "w1w2", "max_tokens": 8}
        answer = server.ask("POST", "/v1/completions", body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] > 0
