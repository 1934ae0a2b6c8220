"""Files in numbered parts: which are missing, at the cost of those that are here.

A name such as ``model-00001-of-99999.gguf`` is a claim: it costs its one file, and no more.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NAMED: Final = 3


class Gaps(NamedTuple):
    """The first missing numbers, and how many are missing."""

    first: tuple[int, ...]
    total: int

    def named(self, name_of: Callable[[int], str]) -> str:
        """The names of the missing files: ``a, b, c and 4 more``."""
        named = ", ".join(one_line(name_of(number)[:120], 120) for number in self.first)
        more = self.total - len(self.first)
        return f"{named} and {more:,} more" if more > 0 else named


def gaps(count: int, numbers: Iterable[int]) -> Gaps:
    """What of 1 to ``count`` is not in ``numbers``."""
    here = {number for number in numbers if 1 <= number <= count}
    missing = (number for number in range(1, count + 1) if number not in here)
    return Gaps(tuple(islice(missing, _NAMED)), count - len(here))
