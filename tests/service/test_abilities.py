"""What a model can do: by its file's template, else by the catalogue's family."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.engines.chat_template import abilities_of as in_template
from gemmahub.service.overview import LibraryReading, ModelRow
from tests.tui.library_support import HERE, SteadyHub, install, steady_hub

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteadyHub:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    install(tmp_path, HERE)
    return steady_hub(tmp_path)


def rows(hub: SteadyHub) -> dict[str, ModelRow]:
    return {row.variant.reference: row for row in LibraryReading(hub).overview().rows}


def test_the_catalogue_says_what_models_that_are_not_here_can_do(hub: SteadyHub) -> None:
    found = rows(hub)
    assert found["gemma-4-e4b-it:q4_0-qat"].abilities == (
        "text", "image", "audio", "thinking", "tools",
    )  # fmt: skip
    assert found["gemma-3-4b-it:q8_0"].abilities == ("text", "image")
    base = found["gemma-3-270m:q4_k_m"]
    assert base.base
    assert base.abilities == ("text",)
    assert not found[HERE].base


def test_the_template_of_a_file_goes_before_the_catalogue() -> None:
    calls = "{% if tools %}<|tool_call>{% endif %}"
    assert in_template("{{ enable_thinking }}" + calls) == ("thinking", "tools")
    assert in_template("{% for m in messages %}{{ m }}{% endfor %}") == ()
    assert in_template("{{ tools }}") == ()  # in another form than Gemma 4's


def test_every_family_says_only_what_there_are_words_for() -> None:
    for family in load_catalog().families:
        assert set(family.chat_abilities) <= {"thinking", "tools"}


def test_a_download_takes_as_long_as_the_last_rate_says(hub: SteadyHub) -> None:
    from gemmahub.measurements.download_rates import DownloadRates

    assert all(row.download_seconds is None for row in rows(hub).values())
    DownloadRates(hub.config.data).add(200_000_000, 10.0)
    found = rows(hub)
    away = found["gemma-3-4b-it:q8_0"]
    assert away.variant.size_bytes
    assert away.download_seconds == pytest.approx(away.variant.size_bytes / 20e6)
    assert found[HERE].download_seconds is None  # it is here


def test_every_row_has_the_memory_of_what_it_would_run_with(hub: SteadyHub) -> None:
    for row in rows(hub).values():
        if row.recommendation is not None:
            assert row.memory is row.recommendation.plan.memory
            assert row.prompt_seconds
        elif row.fit.fits is not None:
            assert row.memory is not None
    measured = rows(hub)[HERE]
    assert measured.measured_prompt_seconds is None
    assert replace(measured, recommendation=None).prompt_seconds is None
