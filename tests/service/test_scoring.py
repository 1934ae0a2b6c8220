"""A model and a text, window by window: what is kept is taken, the rest is computed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import ScoredText
from gemmahub.errors import GenerationFailed, UsageError
from gemmahub.measurements.records import Conditions
from gemmahub.service.scoring.choosing import best_here, doubts_of
from gemmahub.service.scoring.texts import ScoredSource, find_texts
from gemmahub.service.scoring.windows import Base, Scoring, TextOfModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.service.scoring.records import ScoringProgress

WINDOW = 4
CONDITIONS = Conditions(machine="a machine", system="", engine="one", build="one 1.0", at=0)


class Counted:
    """A session whose text has some windows, and that says which of them were asked for."""

    def __init__(self, windows: int, *, says: bool = True, shift: int = 0) -> None:
        self.windows = windows
        self.says = says
        self.shift = shift
        self.asked: list[int] = []

    def score(self, text: str, window: int = 512, top: int = 0) -> Iterator[ScoredText]:
        for number in range(self.windows):
            self.asked.append(number)
            yield self._window(number, top, ())

    def score_at(
        self, text: str, first: int = 0, at: Any = (), window: int = 512, top: int = 0
    ) -> Iterator[ScoredText]:
        for number in range(first, min(self.windows, first + len(at))):
            self.asked.append(number)
            yield self._window(number, top, at[number - first])

    def _window(self, number: int, top: int, rows: Any) -> ScoredText:
        return ScoredText(
            tokens=tuple(10 * number + n + self.shift for n in range(WINDOW)),
            log_probabilities=(-1.0 - number,),
            unscored=3,
            top_tokens=((1, 2, 3)[:top],) if top else (),
            top_log_probabilities=((-1.0, -2.0, -3.0)[:top],) if top else (),
            at_log_probabilities=(tuple(-1.5 for _ in rows[3]),) if rows else (),
            windows=self.windows if self.says else 0,
        )


def scoring(folder: Path, session: Any, **settings: Any) -> Scoring:
    subject = TextOfModel("model", "aa", ScoredSource("text", "words"), WINDOW, CONDITIONS)
    return Scoring(folder, subject, session, **settings)


@pytest.mark.parametrize("says", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_all_windows_of_a_text_are_scored_once(tmp_path: Path, says: bool, named: bool) -> None:
    session = Counted(3, says=says)
    found = list(scoring(tmp_path, session, named=named).windows())
    assert [columns["own"][0] for columns in found] == [-1.0, -2.0, -3.0]
    assert session.asked == [0, 1, 2]
    again = Counted(3, says=says)
    same = scoring(tmp_path, again, named=named).windows()
    assert [columns["own"] for columns in same] == [columns["own"] for columns in found]
    assert again.asked == []


@pytest.mark.parametrize("named", [True, False])
def test_a_run_that_was_stopped_continues(tmp_path: Path, named: bool) -> None:
    windows = scoring(tmp_path, Counted(5), named=named).windows()
    next(windows)
    next(windows)
    windows.close()  # type: ignore[attr-defined]
    session = Counted(5)
    found = list(scoring(tmp_path, session, named=named).windows())
    assert len(found) == 5
    assert session.asked == ([2, 3, 4] if named else [0, 1, 2, 3, 4])


def test_a_damaged_window_is_computed_again(tmp_path: Path) -> None:
    list(scoring(tmp_path, Counted(3)).windows())
    (_, second, _) = sorted(tmp_path.rglob("*.scores"))
    second.write_bytes(second.read_bytes()[:-3])
    session = Counted(3)
    assert len(list(scoring(tmp_path, session).windows())) == 3
    assert session.asked == [1]


def test_another_build_text_or_setting_is_scored_again(tmp_path: Path) -> None:
    first = scoring(tmp_path, Counted(2))
    changed = [
        replace(first.subject, content="bb"),
        replace(first.subject, window=8),
        replace(first.subject, text=ScoredSource("text", "other words")),
        replace(first.subject, conditions=replace_conditions(build="one 1.1")),
        replace(first.subject, conditions=replace_conditions(settings={"cache_type_k": "q8_0"})),
    ]
    keys = {subject.key("alone") for subject in (first.subject, *changed)}
    assert len(keys) == 6
    same = replace(first.subject, conditions=replace_conditions(settings={"threads": 3}, at=9.0))
    assert same.key("alone") == first.subject.key("alone")


def replace_conditions(**values: Any) -> Conditions:
    import msgspec

    return msgspec.structs.replace(CONDITIONS, **values)


def test_fewer_windows_are_scored_where_that_is_asked(tmp_path: Path) -> None:
    seen: list[ScoringProgress] = []
    session = Counted(5)
    found = list(scoring(tmp_path, session, limit=2, on_progress=seen.append).windows())
    assert (len(found), session.asked) == (2, [0, 1])
    assert [(each.done, each.windows) for each in seen] == [(1, 2), (2, 2)]
    assert seen[-1].seconds_left == 0
    assert len(list(scoring(tmp_path, Counted(5), limit=1).windows())) == 1


@pytest.mark.parametrize("says", [True, False])
@pytest.mark.parametrize("count", [0, 1])
def test_a_text_of_less_than_two_windows_is_refused(tmp_path: Path, says: bool, count: int) -> None:
    with pytest.raises(UsageError, match="fewer tokens than two windows of 4"):
        list(scoring(tmp_path, Counted(count, says=says)).windows())


def of_base(folder: Path, session: Counted) -> Base:
    run = scoring(folder, session, as_base=600)
    list(run.windows())
    return Base(run.key, 600, run.kept)


def test_models_are_compared_with_the_scores_of_the_reference(tmp_path: Path) -> None:
    base = of_base(tmp_path, Counted(3))
    found = list(scoring(tmp_path, Counted(3), base=base).windows())
    assert [len(columns["divergences"]) for columns in found] == [1, 1, 1]
    assert [list(columns["same_top"]) for columns in found] == [[1], [1], [1]]
    assert found[0]["changes"][0] == 0
    assert found[0]["divergences"][0] > 0


def test_other_tokens_than_the_references_are_refused(tmp_path: Path) -> None:
    base = of_base(tmp_path, Counted(3))
    with pytest.raises(UsageError, match="splits text into other tokens than the reference"):
        list(scoring(tmp_path, Counted(3, shift=1), base=base).windows())


def test_a_reference_that_disappeared_is_reported(tmp_path: Path) -> None:
    base = of_base(tmp_path, Counted(3))
    for path in tmp_path.rglob("*.scores"):
        path.unlink()
    with pytest.raises(UsageError, match="no longer saved"):
        list(scoring(tmp_path, Counted(3), base=base).windows())


def test_what_is_not_a_window_is_not_kept(tmp_path: Path) -> None:
    session = Counted(3)
    session._window = lambda *_: ScoredText((1,), (), 1)  # type: ignore[method-assign]
    with pytest.raises(GenerationFailed, match="one gave a window of 1 tokens"):
        list(scoring(tmp_path, session).windows())
    assert not list(tmp_path.rglob("*.scores"))


def test_each_kind_of_text_is_shipped_with_its_source() -> None:
    from importlib.resources import files

    found = find_texts(("all", "prose"))
    assert [text.name for text in found] == ["prose", "code", "dialogue", "non-latin"]
    assert all(len(text.text.encode()) > 40_000 for text in found)
    assert len({text.sha256 for text in found}) == 4
    sources = (files("gemmahub.measurements") / "texts" / "SOURCES.md").read_text("utf-8")
    assert all(f"`{text.name}.txt`" in sources for text in found)


def variant(
    reference: str, label: str, training: str = "none", name: str = "Gemma", bits: float = 4.5
) -> Any:
    report = SimpleNamespace(
        label=label, training=SimpleNamespace(value=training), bits_per_weight=bits
    )
    return SimpleNamespace(
        reference=reference, name=name, precision=report, artifacts=(1,), is_model=True
    )


def test_the_best_precision_of_the_same_model_is_the_reference() -> None:
    small, q8, bf16 = variant("Q4_0", "Q4_0"), variant("Q8_0", "Q8_0"), variant("BF16", "BF16")
    qat, qat16 = variant("qat", "Q4_0", "QAT"), variant("qat16", "BF16", "QAT")
    other = variant("other", "BF16", name="Llama")

    def best(asked: list[Any], *models: Any) -> Any:
        found = SimpleNamespace(variants=models)
        here: Any = SimpleNamespace(registry=SimpleNamespace(models=lambda: found))
        return best_here(here, asked)

    assert best([small], small, q8, bf16, other) is bf16
    assert best([small], small, q8, other) is q8
    assert best([small], small, other) is None
    assert best([bf16], bf16, small) is None
    assert best([small, bf16]) is bf16
    assert best([qat], qat, qat16, bf16) is qat16
    assert best([qat], qat, bf16) is None
    assert best([small, other], bf16, other) is None
    larger = variant("Q5_1", "Q5_1", bits=6.0)
    assert best([small, larger], small, larger) is larger
    assert best([small, larger], small, larger, q8) is q8
    assert best([small, qat], small, qat) is None
    shouted = variant("Q6_K", "Q6_K", name="GEMMA", bits=6.6)
    assert best([small, shouted], small, shouted) is shouted


def test_what_cannot_be_ranked_by_perplexity_is_reported() -> None:
    plain, qat, qat16 = (
        variant("plain", "Q4_0"), variant("qat", "Q4_0", "QAT"), variant("qat16", "BF16", "QAT"),
    )  # fmt: skip
    assert doubts_of([plain], None) == []
    assert doubts_of([qat], qat16) == []
    cases: list[Any] = [([plain, qat], qat16), ([qat], None), ([qat], plain)]
    for asked, reference in cases:
        (said,) = doubts_of(asked, reference)
        assert "the measure is the divergence from the matching QAT BF16" in said
