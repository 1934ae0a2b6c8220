"""What a person wants to do, in figures: how much context, and how fast."""

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
    """A wanted context in tokens and a wanted decode speed in tokens a second.

    Each halving of the context costs ``context_points`` points of the score. The first halving of
    the speed costs ``speed_points``, two cost four times as much, three nine times: a little slower
    hardly matters, and a word every second is of no use. More than wanted earns nothing. These are
    judgements, not measurements.
    """

    context: int
    context_points: float
    speed: float
    speed_points: float
    image: bool = False


GOALS: Final[dict[str, Goal]] = {
    # 12 tokens a second are somewhat above the pace at which people read.
    Use.CHAT: Goal(context=16_384, context_points=3, speed=12, speed_points=2.5),
    Use.LONG_CONTEXT: Goal(context=131_072, context_points=8, speed=8, speed_points=2.5),
    Use.VISION: Goal(context=16_384, context_points=3, speed=12, speed_points=2.5, image=True),
    Use.FAST: Goal(context=8_192, context_points=3, speed=60, speed_points=8),
}

LEAST_CONTEXT: Final = 4096
"""Nothing is recommended with less: llama.cpp's own lower limit when it fits a model into memory
(``--fit-ctx``, ``common/common.h``)."""

MIB: Final = 1 << 20
RESERVE: Final = 512 * MIB
"""What a recommended plan leaves free at each place, bytes. With the overhead that a plan counts
for a GPU's driver that is the 1 GiB that llama.cpp leaves free (``--fit-target``)."""


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
