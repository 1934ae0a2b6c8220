"""Published scores: refused when they cannot be compared, and complete in the shipped catalogue."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gemmahub.catalog.loader import catalog_from, load_catalog
from gemmahub.catalog.records import Catalog, Model, Score
from gemmahub.catalog.table import CatalogError

FAMILY = """
[family]
name = "gemma3"
title = "Gemma 3"
licence = "Gemma Terms of Use"
licence_url = "https://ai.google.dev/gemma/terms"
released = "2025-03-12"
source = "a source"

[sizes.1b]
architecture = "gemma3"
layers = 1
embedding_length = 640
feed_forward_length = [[2048, 1]]
heads = 4
kv_heads_local = 1
head_dim_local = 256
sliding_window = 512
pattern_period = 6
vocabulary = 262144
context_length = 32768
tied_embedding = true
parameters = 1
capabilities = ["text"]
source = "a source"
"""

MODELS = "".join(
    f'\n[[models]]\nname = "{name}"\ntitle = "A title"\nsize = "1b"\n'
    f"instruction_tuned = {'true' if name.endswith('-it') else 'false'}\n"
    for name in ("small-it", "large-it", "small")
)

SCORES = """
[[scores]]
benchmark = "MMLU-Pro"
setting = "instruction-tuned, 0-shot"
values = { small-it = 14.7, large-it = 43 }
grade = "B"
source = "a report"
"""

# Models without an MMLU-Pro score, and why.
NO_MMLU_PRO = {"gemma-3-270m-it": "neither the model card nor a report has one"}

# Base models without any score, and why.
NO_SCORE = dict.fromkeys(
    ("gemma-4-e2b", "gemma-4-e4b", "gemma-4-26b-a4b", "gemma-4-31b"),
    "Google published scores of the instruction-tuned models only",
)

# Where a larger model of a family is behind a smaller one in the publisher's own table.
SMALLER_IS_BETTER = {
    ("IFEval", "gemma-3-12b-it"),
    ("GPQA Diamond", "gemma-3n-e4b-it"),
    ("GPQA Diamond", "gemma-3-27b"),
    ("RULER 128k", "gemma-3-27b"),
    ("RULER 128k", "gemma-4-26b-a4b-it"),
}

# What only one group of a family's models can do.
LONG = "RULER 128k"
VISION = {"gemma3": "MMMU", "gemma4": "MMMU-Pro"}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def test_scores_are_put_on_their_models() -> None:
    small, large, base = catalog_from({"x.toml": FAMILY + MODELS + SCORES}).models
    expected = Score("MMLU-Pro", 14.7, "instruction-tuned, 0-shot", "B", "a report")
    assert small.scores == (expected,)
    assert small.score("mmlu-pro") == expected
    assert [s.value for s in large.scores] == [43.0]
    assert base.scores == ()
    assert base.score("MMLU-Pro") is None


def test_base_models_may_have_a_setting_of_their_own() -> None:
    own = SCORES.replace("0-shot", "5-shot").replace("small-it = 14.7, large-it = 43", "small = 9")
    small, _, base = catalog_from({"x.toml": FAMILY + MODELS + SCORES + own}).models
    settings = [s.setting for m in (small, base) for s in m.scores]
    assert settings == ["instruction-tuned, 0-shot", "instruction-tuned, 5-shot"]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("small-it = 14.7", "tiny-it = 14.7", "scores MMLU-Pro: unknown model tiny-it"),
        ("small-it = 14.7", "small-it = 100.1", "small-it: expected a number <= 100.0"),
        ("small-it = 14.7", "small-it = -0.1", "small-it: expected a number >= 0.0"),
        ("small-it = 14.7", "small-it = nan", "small-it: expected a number >= 0.0"),
        ("small-it = 14.7", 'small-it = "14.7"', "small-it: expected a number, got a text"),
        ("small-it = 14.7", "small-it = true", "small-it: expected a number, got true or false"),
        ("small-it = 14.7", "small = 14.7", "models of one kind"),
        ("{ small-it = 14.7, large-it = 43 }", "{}", "models of one kind"),
        ("large-it = 43", "small-it = 43", "x.toml"),
        ('benchmark = "MMLU-Pro"', "", "benchmark is missing"),
        ('setting = "instruction-tuned, 0-shot"', "", "setting is missing"),
        ('source = "a report"', "", "source is missing"),
        ('source = "a report"', 'source = ""', "leave out what is not verified"),
        ('grade = "B"', 'grade = "D"', "not one of A, B, C"),
        ('grade = "B"', 'grade = "B"\nshots = 0', "unknown key shots"),
    ],
)
def test_typing_errors_in_scores_are_refused(old: str, new: str, complaint: str) -> None:
    assert old in SCORES
    with pytest.raises(CatalogError, match=complaint):
        catalog_from({"x.toml": FAMILY + MODELS + SCORES.replace(old, new)})


@pytest.mark.parametrize("model", ["small-it", "large-it"])
def test_a_second_setting_of_a_benchmark_is_refused(model: str) -> None:
    first = SCORES.replace("small-it = 14.7, ", "").replace("MMLU-Pro", "mmlu-pro")
    second = SCORES.replace("small-it = 14.7, large-it = 43", f"{model} = 5").replace("0-", "5-")
    with pytest.raises(CatalogError, match="scores MMLU-Pro: the benchmark occurs twice"):
        catalog_from({"x.toml": FAMILY + MODELS + first + second})


def test_every_instruction_tuned_model_has_mmlu_pro(catalog: Catalog) -> None:
    tuned = [m for m in catalog.models if m.instruction_tuned]
    assert {m.name for m in tuned if m.score("MMLU-Pro") is None} == set(NO_MMLU_PRO)
    assert all(m.scores for m in tuned)


def test_every_base_model_has_a_score_or_is_a_known_exception(catalog: Catalog) -> None:
    base = [m for m in catalog.models if not m.instruction_tuned]
    assert {m.name for m in base if not m.scores} == set(NO_SCORE)


def test_figures_as_in_the_reports(catalog: Catalog) -> None:
    # One of each table: a shifted column would show here.
    for model, benchmark, value in (
        ("gemma-3-1b-it", "MMLU-Pro", 14.7),
        ("gemma-3-27b-it", "GPQA Diamond", 42.4),
        ("gemma-3-270m-it", "IFEval", 51.2),
        ("gemma-3-4b", "MMLU-Pro", 29.2),
        ("gemma-3n-e2b-it", "MMLU-Pro", 40.5),
        ("gemma-4-12b-it", "MMLU-Pro", 77.2),
        ("gemma-4-26b-a4b-it", "IFEval", 98.5),
        ("gemma-4-31b-it", "MRCR v2 128k", 66.4),
    ):
        found = catalog.model(model)
        assert found is not None
        score = found.score(benchmark)
        assert score is not None
        assert score.value == value


def groups(catalog: Catalog) -> list[tuple[str, list[tuple[Model, Score]]]]:
    """Each benchmark with the scores of one family's tuned or base models, smallest first."""
    found: dict[tuple[str, str, bool], list[tuple[Model, Score]]] = {}
    for model in sorted(catalog.models, key=lambda m: m.architecture.parameters):
        for score in model.scores:
            key = (score.benchmark, model.family, model.instruction_tuned)
            found.setdefault(key, []).append((model, score))
    return [(key[0], pairs) for key, pairs in found.items()]


def test_scores_grow_with_size_inside_a_family(catalog: Catalog) -> None:
    behind = {
        (benchmark, larger.name)
        for benchmark, pairs in groups(catalog)
        for (_, before), (larger, after) in pairwise(pairs)
        if after.value <= before.value
    }
    assert behind == SMALLER_IS_BETTER


def test_a_benchmark_has_one_setting_in_a_family(catalog: Catalog) -> None:
    for _, pairs in groups(catalog):
        assert len({score.setting for _, score in pairs}) == 1


def test_settings_say_what_was_measured(catalog: Catalog) -> None:
    for model in catalog.models:
        for score in model.scores:
            kind = "instruction-tuned" if model.instruction_tuned else "base"
            assert score.setting.startswith(f"{kind}, ")


def test_the_record_says_whether_the_model_was_thinking(catalog: Catalog) -> None:
    # Scores of Gemma 4 with thinking stand beside those of families that cannot think.
    for model in catalog.models:
        score = model.score("MMLU-Pro") if model.instruction_tuned else None
        if score is not None:
            expected = "thinking" if model.family == "gemma4" else "without thinking"
            assert score.setting.split(", ")[1] == expected


def test_models_that_see_have_a_vision_score(catalog: Catalog) -> None:
    # The card of Gemma 3n has none.
    for model in catalog.models:
        if model.instruction_tuned and model.family in VISION:
            sees = "image" in model.architecture.capabilities
            assert (model.score(VISION[model.family]) is not None) == sees


def test_models_of_128k_and_more_have_a_long_context_score(catalog: Catalog) -> None:
    for model in catalog.models:
        if model.instruction_tuned:
            long = model.architecture.context_length >= 131072
            assert (model.score(LONG) is not None) == long


def test_every_score_has_a_source_and_a_grade(catalog: Catalog) -> None:
    scores = [s for m in catalog.models for s in m.scores]
    assert scores
    for score in scores:
        assert "arXiv 2" in score.source or "ai.google.dev/gemma/" in score.source
        copies = score.source.partition("read in public files ")[2].split(", ")
        # Grade B is two or more public files that agree.
        assert score.grade == "B"
        assert len(set(copies)) >= 2
        assert all(copy.isdigit() for copy in copies)
