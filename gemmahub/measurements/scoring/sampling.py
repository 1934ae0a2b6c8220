"""Which tokens of a vocabulary are looked at in one place of a text.

A divergence is a sum over all tokens of the vocabulary, 262,144 of them at Gemma. Those that the
reference finds most probable are taken one by one; of the others every so many-th, from a beginning
that is drawn for each place by itself, and each of them counts for so many.
"""

from __future__ import annotations

from array import array
from random import Random
from typing import Final

TOP: Final = 2048
SAMPLED: Final = 512


def method_for(words: int) -> str:
    """How the divergence from a reference was taken, with a vocabulary of so many words; 0 where
    that is not known. The error was measured: ``docs/concepts/quality.md`` has the figures."""
    if 0 < words <= TOP:
        return "a sum over the whole vocabulary"
    best = f"the {TOP:,} most probable tokens of the reference one by one"
    if not words:
        return f"{best}, without the others: a lower bound, about 3 % below the full sum"
    return (
        f"{best}, plus a sample of {SAMPLED} of the others in each place: the mean is within "
        "1 % of the full sum"
    )


def stride_of(words: int) -> int:
    """How many tokens each of a sample stands for."""
    return max(1, words // SAMPLED)


def sample_rows(words: int, window: int, number: int) -> list[array[int]]:
    """A sample for each token of a window, the same each time for the window of that number."""
    draw, stride = Random(number), stride_of(words)
    return [array("i", range(draw.randrange(stride), words, stride)) for _ in range(window)]
