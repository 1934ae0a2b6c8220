"""What an engine says of a window, held against what it was asked: figures that are made of it are
kept and shown to people."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

from gemmahub.errors import GenerationFailed
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.engines.contract import ScoredText

_MOST: Final = 2**31
_ROUNDING: Final = 1e-3


def checked_window(
    scored: ScoredText, window: int, engine: str, top: int = 0, rows: Sequence[Sequence[int]] = ()
) -> ScoredText:
    """The window, if it is one. Raises: GenerationFailed."""
    places = window - scored.unscored
    lengths = {len(scored.log_probabilities): "log probabilities"}
    if top:
        lengths |= {len(scored.top_tokens): "best tokens"}
        lengths |= {len(scored.top_log_probabilities): "best tokens' log probabilities"}
    if rows:
        lengths |= {len(scored.at_log_probabilities): "chosen tokens' log probabilities"}
    if len(scored.tokens) != window or not 0 < places < window:
        raise _wrong(engine, f"a window of {len(scored.tokens)} tokens, {places} of them scored")
    if set(lengths) != {places}:
        raise _wrong(engine, f"not {places} rows of {', '.join(lengths.values())}")
    if not _numbers(scored.tokens) or not all(map(_numbers, scored.top_tokens)):
        raise _wrong(engine, "tokens that are not in the vocabulary")
    logs = (scored.log_probabilities, *scored.top_log_probabilities, *scored.at_log_probabilities)
    if not all(map(_logs, logs)):
        raise _wrong(engine, "log probabilities that are not valid numbers")
    if top:
        for best, values in zip(scored.top_tokens, scored.top_log_probabilities, strict=True):
            if not 0 < len(best) == len(values):
                raise _wrong(engine, "best tokens without their log probabilities")
    for row, values in zip(rows[scored.unscored :], scored.at_log_probabilities, strict=False):
        if len(row) != len(values):
            raise _wrong(engine, "log probabilities of other tokens than those named")
    return scored


def _numbers(tokens: Sequence[int]) -> bool:
    return not tokens or (min(tokens) >= 0 and max(tokens) < _MOST)


def _logs(values: Iterable[float]) -> bool:
    return all(map(isfinite, values)) and max(values, default=0.0) <= _ROUNDING


def _wrong(engine: str, what: str) -> GenerationFailed:
    return GenerationFailed(
        f"{one_line(engine)} gave {what}", "this is a bug in the backend: report it"
    )
