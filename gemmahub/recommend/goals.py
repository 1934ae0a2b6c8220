"""What a person wants to do, in figures: how much context, how fast, and what less of it costs.

Judgements, not measurements: all that the choice rests on stand here, and
tests/recommend/experts.toml holds the resulting choices to what experienced users run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gemmahub.errors import UsageError
from gemmahub.text import one_line


class Use(StrEnum):
    """What a model is wanted for."""

    CHAT = "chat"
    LONG_CONTEXT = "long-context"
    VISION = "vision"
    FAST = "fast"


USES: Final = tuple(use.value for use in Use)


@dataclass(frozen=True, slots=True)
class Goal:
    """A wanted context in tokens, and what less of it, and of speed, costs.

    Each halving of the context costs ``context_points`` points of the score. Speed costs
    ``speed_points * log2(1 + (pace / rate) ** STEEPNESS)``: at ``pace`` tokens a second that is
    ``speed_points``, at half of it 1.9 times as many, at twice 0.4; more is always better, and ever
    less so. A plan below ``usable`` tokens a second is never first while one above it is there.
    Reading a prompt that fills the context costs
    ``reading_points * log2(1 + seconds / LONG_READING)``.
    """

    context: int
    context_points: float
    pace: float
    speed_points: float
    usable: float
    reading_points: float = 0.0
    image: bool = False


READING_PACE: Final = 5.0
"""Tokens a second at which people read: 240 words a minute (Brysbaert 2019, 238 of English
non-fiction), 1.3 tokens a word."""

STEEPNESS: Final = 1.5
"""How much more than in proportion time costs: twice as slow is worse at 5 tokens/s than at 50."""

THINKING_PACE: Final = 1.5
"""How much more pace is wanted of a model that thinks before it answers."""

LONG_READING: Final = 120.0
"""Seconds of waiting for the first token that cost ``reading_points``."""

BASE_MODEL_POINTS: Final = 30.0
"""What a base model costs: it continues a text, and was not trained to answer."""

NEARLY_AS_GOOD: Final = 3.0
"""Points by which what is installed may be behind, and still be named."""

GOALS: Final[dict[str, Goal]] = {
    # Twice the speed is worth 1.9 points at 20 tokens/s: more than the 1.2 of Q8_0 against QAT.
    Use.CHAT: Goal(16_384, context_points=3, pace=11, speed_points=4, usable=READING_PACE),
    Use.LONG_CONTEXT: Goal(
        131_072, context_points=8, pace=11, speed_points=4, usable=READING_PACE, reading_points=2
    ),
    Use.VISION: Goal(
        16_384, context_points=3, pace=11, speed_points=4, usable=READING_PACE, image=True
    ),
    # E2B and E4B at 60 to 120 tokens/s stand above 26B at 20 to 35, and 26B at 130 above both.
    Use.FAST: Goal(8_192, context_points=3, pace=100, speed_points=22, usable=READING_PACE),
}

LEAST_CONTEXT: Final = 4096
"""Nothing is recommended with less: llama.cpp's own lower limit when it fits a model into memory
(``--fit-ctx``, ``common/common.h``)."""

MIB: Final = 1 << 20
RESERVE: Final = 512 * MIB
"""What a recommended plan leaves free at each place, bytes. With the overhead that a plan counts
for a GPU's driver that is the 1 GiB that llama.cpp leaves free (``--fit-target``)."""

RESERVE_WITHOUT_GPU: Final = 1024 * MIB
"""The same where the model has the system's memory alone: other programs need some of it."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a model is wanted for.

    ``context`` in tokens is a demand; None leaves it to the use. Without ``offload`` no layers stay
    in system memory beside a GPU. With ``every_variant``, and of one ``model`` alone, variants of a
    model are ranked beside each other; else the best of each is. ``installed`` leaves out what is
    not on this machine; ``limit`` is the most that are returned.
    """

    use: str = Use.CHAT
    context: int | None = None
    offload: bool = True
    every_variant: bool = False
    model: str | None = None
    installed: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        """Raises: UsageError for a use that there is none of."""
        if self.use not in GOALS:
            raise UsageError(
                f"there is no use {one_line(self.use)!r}", f"choose one of {', '.join(USES)}"
            )

    @property
    def goal(self) -> Goal:
        """The figures of the use."""
        return GOALS[self.use]

    @property
    def best_of_each(self) -> bool:
        """Whether one variant of each model is enough."""
        return not (self.every_variant or self.model)
