"""Puts the published benchmark scores of a family on its models.

One ``[[scores]]`` table a benchmark: what was measured, how, where it stands, and a value a model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gemmahub.catalog.records import Score
from gemmahub.catalog.table import Entry, Grade, fault, percentages, read, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.catalog.records import Model


class _Scores(Entry, frozen=True):
    benchmark: str
    setting: str
    values: dict[str, Any]
    grade: Grade
    source: str


def with_scores(items: Sequence[object], models: Sequence[Model], where: str) -> list[Model]:
    """The models of a family with their scores, in the order of the file.

    Within a family a benchmark has one setting for all instruction-tuned models and one for all
    base models, and so at most one table each: :class:`CatalogError` refuses a second one, a
    mixed one, values that are no percentages, and models that the family has not.
    """
    tuned = {m.name: m.instruction_tuned for m in models}
    scores: dict[str, list[Score]] = {m.name: [] for m in models}
    seen: set[tuple[str, bool]] = set()
    for values, place in tables(items, "scores", where):
        found = _read(values, place)
        if unknown := found.keys() - tuned.keys():
            raise fault(place, f"unknown model {', '.join(sorted(unknown))}")
        keys = {(score.benchmark.lower(), tuned[name]) for name, score in found.items()}
        if len(keys) != 1:
            raise fault(place, "values need models of one kind: instruction-tuned or base")
        if keys & seen:
            raise fault(place, "the benchmark occurs twice: it has one setting in a family")
        seen |= keys
        for name, score in found.items():
            scores[name].append(score)
    return [replace(m, scores=tuple(scores[m.name])) for m in models]


def _read(values: object, where: str) -> dict[str, Score]:
    table = read(_Scores, values, where)
    return {
        name: Score(table.benchmark, value, table.setting, table.grade, table.source)
        for name, value in percentages(table.values, where).items()
    }
