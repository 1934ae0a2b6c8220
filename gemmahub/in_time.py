"""Calls of code that nobody here wrote, all at the same time, none for longer than it may take."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_STEP_SECONDS: Final = 0.05


class TookTooLong(TimeoutError):
    """A call that was given up. It may go on in its thread, and nobody hears of its end."""


@dataclass(slots=True)
class Outcome:
    """What a call returned, or what it raised."""

    value: Any = None
    error: BaseException | None = None


def in_time(seconds: float, calls: Sequence[Callable[[], Any]]) -> list[Outcome]:
    """Call all of them, each in a thread of its own; one that takes longer raised TookTooLong.

    The time is that of a machine with nothing else to do: where this thread is kept waiting by
    others, so are those, and they get as much more.
    """
    outcomes = [Outcome(error=TookTooLong(f"it took longer than {seconds:g} s")) for _ in calls]
    left = threading.Semaphore(0)

    def run(number: int) -> None:
        try:
            outcome = Outcome(calls[number]())
        except BaseException as error:  # noqa: BLE001 - whoever asked decides what it means
            outcome = Outcome(error=error)
        if not given_up:
            outcomes[number] = outcome
        left.release()

    given_up = False
    for number in range(len(calls)):
        threading.Thread(target=run, args=(number,), name="plugin", daemon=True).start()
    steps = round(seconds / _STEP_SECONDS)
    for _ in calls:
        while not left.acquire(timeout=_STEP_SECONDS):
            steps -= 1
            if steps <= 0:
                given_up = True
                return list(outcomes)
    return list(outcomes)
