"""What was measured here stands beside the precision, and goes before published figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

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
from gemmahub.recommend.measured_quality import MeasuredDivergence, measured_losses
from gemmahub.recommend.quality import loss_of
from gemmahub.service import Requirements
from gemmahub.service.comparing.rows import sections
from gemmahub.service.known_speeds import place_of_plans
from gemmahub.service.measured import figures_of
from tests.hub.conftest import server  # noqa: F401 - a fixture
from tests.tui.library_support import HERE, SteadyHub, install, steady_hub

if TYPE_CHECKING:
    from pathlib import Path

OTHERS = ("gemma-3-4b-it:q8_0", "gemma-3-4b-it:q4_k_m")
CONDITIONS = Conditions(
    machine="a processor, 8 GiB", system="Linux", engine="an engine", build="an engine 1.0", at=9.0
)
TEXT = MeasuredText(name="prose", sha256="b" * 64, window=512, chunks=3, tokens=768)
REFERENCE = MeasuredModel(
    reference="x", name="A model", precision="BF16", label="BF16", training="none", content="f" * 64
)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteadyHub:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    install(tmp_path, HERE)
    return steady_hub(tmp_path)


def quality(content: str, label: str, nats: float, training: str = "unknown") -> QualityResult:
    return QualityResult(
        model=MeasuredModel(
            reference="y",
            name="A model",
            precision=label,
            label=label,
            training=training,
            content=content,
        ),
        conditions=CONDITIONS,
        text=TEXT,
        perplexity=Estimate(value=12.5, error=0.25),
        divergence=Divergence(
            reference=REFERENCE,
            mean=Estimate(value=nats, error=nats / 50),
            median=nats / 2,
            percentile_99=nats * 9,
            same_top=Estimate(value=0.931, error=0.01),
            rms_change=Estimate(value=0.03),
        ),
    )


def content_of_known(hub: SteadyHub, reference: str) -> str:
    name, _, variant = reference.partition(":")
    model = hub.registry.catalog.model(name)
    assert model is not None
    return str(next(v.sha256 for v in model.variants if v.name == variant))


def divergence(variant: str, label: str, nats: float, **other: str) -> MeasuredDivergence:
    return MeasuredDivergence(
        variant,
        label,
        other.get("training", "unknown"),
        other.get("reference", "none"),
        nats,
        alike=(other.get("text", "prose"),),
        basis="measured",
    )


def test_shares_are_as_the_divergences_and_together_as_published() -> None:
    found = measured_losses(
        [divergence("a", "Q8_0", 0.01), divergence("b", "Q4_K_M", 0.03), divergence("c", "X", 0.06)]
    )
    a, b, c = (found[name].share or 0.0 for name in "abc")
    published = sum(loss_of(label, "unknown").share or 0.0 for label in ("Q8_0", "Q4_K_M"))
    assert a + b == pytest.approx(published)
    assert b / a == pytest.approx(3)
    assert c / b == pytest.approx(2)  # nothing is published of it
    assert found["a"].basis == "measured"


def test_one_measurement_alone_has_the_published_share() -> None:
    (found,) = measured_losses([divergence("a", "Q5_K_M", 0.4)]).values()
    assert found.share == pytest.approx(loss_of("Q5_K_M", "unknown").share)


def test_nothing_follows_from_other_texts_or_from_another_training() -> None:
    apart = measured_losses(
        [divergence("a", "Q8_0", 1.0), divergence("b", "Q4_K_M", 0.1, text="code")]
    )
    assert apart["a"].share == pytest.approx(loss_of("Q8_0", "unknown").share)
    assert apart["b"].share == pytest.approx(loss_of("Q4_K_M", "unknown").share)
    assert measured_losses([divergence("a", "Q4_0", 0.1, training="QAT")]) == {}
    assert measured_losses([divergence("a", "Q4_0", 0.1, training="QAT", reference="QAT")])


def test_of_two_measurements_of_one_variant_the_first_counts() -> None:
    twice = [divergence("a", "Q8_0", 0.1, text="later"), divergence("a", "Q8_0", 0.2)]
    assert measured_losses(twice)["a"].basis == "measured"
    assert len(measured_losses(twice)) == 1


def test_measured_losses_go_before_published_ones(hub: SteadyHub) -> None:
    small, large = (content_of_known(hub, reference) for reference in OTHERS)
    before = {r.variant.reference: r for r in every(hub)}
    hub.results.add([quality(small, "Q8_0", 0.03), quality(large, "Q4_K_M", 0.01)])
    after = {r.variant.reference: r for r in every(hub)}
    q8, q4 = (after[reference].plan.quality for reference in OTHERS)
    assert q8.loss.share == pytest.approx(3 * (q4.loss.share or 0.0))  # as it was measured
    assert "divergence 0.0300 from its BF16, measured here (prose, 3 windows" in q8.as_text()
    for reference in before.keys() - set(OTHERS):
        assert after[reference].plan.quality == before[reference].plan.quality


def every(hub: SteadyHub) -> tuple:  # type: ignore[type-arg]
    return hub.recommend(Requirements(model="gemma-3-4b-it", every_variant=True, limit=99))


def test_a_comparison_shows_what_was_measured_and_what_measures_the_rest(hub: SteadyHub) -> None:
    first, second = OTHERS
    content = content_of_known(hub, first)
    hub.results.add(
        [
            quality(content, "Q8_0", 0.0123),
            SpeedResult(
                model=replace(REFERENCE, content=content),
                conditions=replace(
                    CONDITIONS,
                    doubts=("the machine was busy",),
                    place=place_of_plans(hub.machine_for()),
                ),
                depths=(DepthSpeed(depth=512, decode=Spread(median=33.33, low=31.0, high=35.0)),),
            ),
        ]
    )
    comparison = hub.compare(OTHERS)
    section = next(s for s in sections(comparison) if s.title == "measured on this machine")
    rows = {row.label: [cell.text for cell in row.cells] for row in section.rows}
    assert rows["perplexity"] == ["12.50 ± 0.25", "-"]
    assert rows["divergence"] == ["0.0123 ± 0.0002", "-"]
    assert rows["same top token"] == ["93.1%", "-"]
    assert rows["answer at 512"] == ["33.3 tokens/s", "-"]
    remarks = [str(remark) for remark in section.remarks]
    assert "A: prose, 3 windows of 512 tokens, an engine 1.0, divergence from BF16" in remarks
    assert "A: the machine was busy" in remarks
    assert f"B: not measured here: gemmahub quality {second} measures it" in remarks
    assert f"B: not measured here: gemmahub bench {second} measures it" in remarks
    plain = comparison.as_json()["variants"]
    assert plain[0]["measured"]["quality"]["perplexity"]["value"] == 12.5
    assert plain[1]["measured"] == {"quality": None, "speed": None}


def test_figures_are_of_the_text_that_most_were_measured_with(hub: SteadyHub) -> None:
    contents = [content_of_known(hub, reference) for reference in OTHERS]
    later = replace(
        quality(contents[0], "Q8_0", 0.5),
        text=replace(TEXT, sha256="c" * 64),
        conditions=replace(CONDITIONS, at=99.0),
    )
    hub.results.add([later, *(quality(content, "Q8_0", 0.1) for content in contents)])
    variants = [hub.registry.known(reference) for reference in OTHERS]
    found = [figures.quality for figures in figures_of(hub, variants, hub.machine_for())]
    assert [one and one.text.sha256 for one in found] == ["b" * 64, "b" * 64]


def test_what_another_machine_measured_is_not_shown_as_ours(hub: SteadyHub) -> None:
    content = content_of_known(hub, OTHERS[0])
    hub.results.add([quality(content, "Q8_0", 0.5)], origin="a friend")
    assert not figures_of(hub, [hub.registry.known(OTHERS[0])], hub.machine_for())[0]
    assert hub.measured(hub.machine_for()).losses == {}
