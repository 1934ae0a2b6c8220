"""Variants with what keeps engines from loading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from gemmahub.engines.contract import Artifact, Loadable
from gemmahub.formats.reader import ModelFile

if TYPE_CHECKING:
    from gemmahub.registry.variants import Variant

Problems: TypeAlias = Callable[[Sequence[tuple[ModelFile, Sequence[Artifact]]]], Sequence[Loadable]]
"""What :func:`gemmahub.engines.judging.problems_of` is, of the engines here."""


def no_problems(asked: Sequence[tuple[ModelFile, Sequence[Artifact]]]) -> Sequence[Loadable]:
    """Where no engine is asked."""
    return [Loadable(True)] * len(asked)


def judged(variants: Sequence[Variant], problems: Problems) -> tuple[Variant, ...]:
    """The same, with the problem of those that no engine can load."""
    asked = [(v.header, v.artifacts) for v in variants if v.is_model and v.header]
    found = iter(problems(asked))
    return tuple(_with(v, next(found)) if v.is_model and v.header else v for v in variants)


def _with(variant: Variant, answer: Loadable) -> Variant:
    if answer.ok or variant.problem:  # what is known of this very file is known better
        return variant
    return replace(variant, problem=answer.reason, remedy=answer.hint)
