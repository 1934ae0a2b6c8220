"""The rounds of a duel and their sum: who was faster, longer, and liked more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemmahub.text import format_gib, format_rate, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.conversations import Timings
    from gemmahub.planning import Plan


@dataclass(slots=True)
class SideRound:
    """What one side gave in a round. ``number`` names its answer, None where it gave none."""

    number: int | None = None
    timings: Timings | None = None
    complete: bool = False

    @property
    def speed(self) -> float | None:
        """Tokens a second; None where that was not timed."""
        return self.timings.tokens_per_second if self.timings else None

    @property
    def tokens(self) -> int:
        """Of the whole answer; 0 where the engine does not say."""
        return (self.timings.tokens or 0) if self.timings else 0


@dataclass(slots=True)
class DuelScore:
    """Sums over the rounds that are over. ``names`` are those of the sides; ``votes`` has for each
    round the number of the side that was liked more, None for none."""

    names: list[str]
    rounds: list[tuple[SideRound, ...]] = field(default_factory=list)
    votes: list[int | None] = field(default_factory=list)
    shared: list[float] = field(default_factory=list)

    def add(self, sides: Sequence[SideRound], shared: float | None) -> None:
        """A round is over; ``shared`` is the part of their words that the first two have both."""
        self.rounds.append(tuple(sides))
        self.votes.append(None)
        if shared is not None:
            self.shared.append(shared)

    def vote(self, side: int | None) -> bool:
        """Like the answer of a side more in the last round, or none; False where there is none."""
        if self.votes:
            self.votes[-1] = side
        return bool(self.votes)

    def faster(self) -> list[int]:
        """How many rounds each side was the fastest in, of those in which all answered."""
        won = [0] * len(self.names)
        for sides in self.rounds:
            speeds = [side.speed if side.complete else None for side in sides]
            known = [speed for speed in speeds if speed is not None]
            if len(known) == len(speeds) and known.count(max(known)) == 1:
                won[speeds.index(max(known))] += 1
        return won

    def speeds(self) -> list[float | None]:
        """Tokens a second of each side over all rounds: tokens by the time that they took."""
        found: list[float | None] = []
        for side in zip(*self.rounds, strict=True):
            timed = [t for each in side if (t := each.timings) and t.tokens and t.decode_seconds]
            seconds = sum(t.decode_seconds or 0.0 for t in timed)
            found.append(sum(t.tokens or 0 for t in timed) / seconds if seconds else None)
        return found

    def text(self) -> str:
        """The sum in words; empty before the first round is over."""
        if not self.rounds:
            return ""
        parts = [plural(len(self.rounds), "round")]
        speeds, won = self.speeds(), self.faster()
        if sum(won):
            best = won.index(max(won))
            of = f" in {max(won)} of {len(self.rounds)}" if len(self.rounds) > 1 else ""
            tied = won.count(max(won)) > 1
            parts.append("as fast as each other" if tied else f"faster: {self._name(best)}{of}")
        shown = ["not timed" if speed is None else format_rate(speed) for speed in speeds]
        parts.append(" against ".join(shown))
        tokens = [sum(each.tokens for each in side) for side in zip(*self.rounds, strict=True)]
        parts.append(" against ".join(f"{count:,}" for count in tokens) + " tokens")
        if self.shared:
            parts.append(f"{sum(self.shared) / len(self.shared):.0%} of the words shared")
        if any(vote is not None for vote in self.votes):
            counts = [self.votes.count(number) for number in range(len(self.names))]
            parts.append("votes " + ":".join(map(str, counts)))
        return " · ".join(parts)

    def _name(self, number: int) -> str:
        """With its place where that is all that tells it from another."""
        name = self.names[number]
        sides = ("left", "right") if len(self.names) == 2 else ()
        if self.names.count(name) == 1:
            return name
        return f"{name}, {sides[number] if sides else f'number {number + 1}'}"


def fit_together(plans: Sequence[Plan]) -> tuple[bool, str]:
    """Whether models fit beside each other, place by place, and the figures in words."""
    needed: dict[str, int] = {}
    free: dict[str, int] = {}
    for plan in plans:
        for place in plan.memory.places:
            needed[place.device] = needed.get(place.device, 0) + place.total_bytes
            free[place.device] = place.free_bytes
    fits = all(needed[device] <= free[device] for device in needed)
    words = ", ".join(
        f"{device} {format_gib(needed[device])} of {format_gib(free[device])} free"
        for device in needed
        if needed[device]
    )
    return fits, f"together {words}"
