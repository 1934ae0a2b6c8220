"""What was measured is kept, and a file of results goes from one machine to another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import FormatError
from gemmahub.measurements.records import (
    Conditions,
    DepthSpeed,
    Divergence,
    Estimate,
    MeasuredModel,
    MeasuredText,
    QualityResult,
    SpeedResult,
    Spread,
)
from gemmahub.measurements.results import FILE_NAME, Results, as_file, from_file

if TYPE_CHECKING:
    from pathlib import Path

MODEL = MeasuredModel(
    reference="hf://somebody/a-model/b.gguf",
    name="A model",
    precision="Q5_1 · 6.00 bits/weight",
    content="a" * 64,
)
CONDITIONS = Conditions(
    machine="a processor, 8 GiB", system="Linux", engine="an engine", build="1.0", at=1.0
)
SPEED = SpeedResult(
    model=MODEL,
    conditions=CONDITIONS,
    depths=(DepthSpeed(depth=512, decode=Spread(median=3.0, low=2.0, high=4.0, runs=5)),),
)
QUALITY = QualityResult(
    model=MODEL,
    conditions=CONDITIONS,
    text=MeasuredText(name="prose", sha256="b" * 64, window=512, chunks=3, tokens=768),
    perplexity=Estimate(value=12.5, error=0.2),
    divergence=Divergence(
        reference=MODEL,
        mean=Estimate(value=0.01),
        median=-0.001,
        percentile_99=0.2,
        same_top=Estimate(value=0.97),
        rms_change=Estimate(value=0.01),
    ),
)


def test_results_are_kept_by_content_and_kind(tmp_path: Path) -> None:
    Results(tmp_path).add([SPEED, QUALITY])
    kept = Results(tmp_path)
    assert kept.of(SpeedResult, "a" * 64) == [SPEED]
    assert kept.of(QualityResult, "a" * 64) == [QUALITY]
    assert kept.of(SpeedResult, "c" * 64) == []
    assert kept.of(SpeedResult, "") == kept.of(SpeedResult, None) == []


def test_a_result_of_another_machine_is_not_this_machines(tmp_path: Path) -> None:
    kept = Results(tmp_path)
    kept.add([SPEED], origin="a friend")
    assert kept.of(SpeedResult, "a" * 64) == []
    assert [(one.origin, one.result) for one in kept.kept] == [("a friend", SPEED)]
    kept.forget("a friend")
    assert kept.kept == ()


def test_a_result_twice_is_kept_once_and_the_latest_is_first(tmp_path: Path) -> None:
    import msgspec

    later = msgspec.structs.replace(SPEED, conditions=msgspec.structs.replace(CONDITIONS, at=9.0))
    kept = Results(tmp_path)
    kept.add([SPEED, SPEED])
    kept.add([SPEED, later])
    assert kept.of(SpeedResult, "a" * 64) == [later, SPEED]


def test_a_damaged_row_costs_itself(tmp_path: Path) -> None:
    import sqlite3

    Results(tmp_path).add([SPEED])
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("insert into results values ('', '{\"kind\": \"speed\"}')")
        database.execute("insert into results values ('', 'no JSON')")
    database.close()
    assert [one.result for one in Results(tmp_path).kept] == [SPEED]


def test_a_file_of_results_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(as_file([SPEED, QUALITY]))
    assert from_file(path) == (SPEED, QUALITY)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        json.dumps({"gemmahub_results": 2, "results": []}),
        json.dumps({"gemmahub_results": 1, "results": [{"kind": "other"}]}),
        json.dumps({"gemmahub_results": 1, "results": [{"kind": "speed"}]}),
    ],
)
def test_a_file_that_holds_no_results_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(FormatError, match=r"contains no results|later gemmahub"):
        from_file(path)


def test_a_missing_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="No such file"):
        from_file(tmp_path / "none.json")


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def test_plain_values_hold_what_was_measured() -> None:
    plain = QUALITY.as_json()
    assert plain["kind"] == "quality"
    assert plain["perplexity"] == {"value": 12.5, "error": 0.2}
    assert "prose" in _texts(plain)
