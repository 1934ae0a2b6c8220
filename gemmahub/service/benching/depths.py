"""How fast a loaded model is with so many tokens in its cache."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gemmahub.measurements.records import DepthSpeed, Spread
from gemmahub.service.benching.timing import LEAST_TOKENS, timed_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gemmahub.engines.contract import Session
    from gemmahub.service.benching.prompts import Prompts
    from gemmahub.service.benching.timing import Timed

READ: Final = 512
"""Tokens of a prompt whose reading is timed, as in llama-bench's ``pp512``."""
DECODED: Final = 64
"""Tokens of an answer that is timed."""

_TRIES: Final = 3  # other words, where a model ends its answer at once
_LEAST_RUNS: Final = 2
_OFF: Final = 0.05


class DepthBench:
    """Measures one session. ``later`` are the depths that come afterwards, for the time that is
    left; ``doubts`` say what of the figures is not as it should be."""

    def __init__(
        self,
        session: Session,
        prompts: Prompts,
        parallel: int,
        tell: Callable[[str], None],
        decoded: int = DECODED,
        read: int = READ,
    ) -> None:
        self._session = session
        self._prompts = prompts
        self._parallel = parallel
        self._tell = tell
        self._decoded, self._read = decoded, read
        self._rates: list[tuple[float, float]] = []  # tokens a second: prefill, decode
        self._off: set[int] = set()
        self.later: Sequence[int] = ()
        self.doubts: list[str] = []
        if not prompts.counted:
            self._doubt("the engine does not count a prompt's tokens: words were counted instead")

    def warm_up(self) -> None:
        """One run that is not counted: pages are mapped, kernels are made, clocks go up."""
        read = self._answer(self._read, 1)
        answer = self._answer(0, self._decoded)
        self._learn(read.prefill, answer.decode)

    def measure(self, depth: int, runs: int, limit: float | None) -> DepthSpeed:
        """The speeds at a depth. Past ``limit`` seconds there are fewer runs, but two at least.

        Raises: BackendError.
        """
        prefill: list[float] = []
        decode: list[float] = []
        first: list[float] = []
        started = perf_counter()
        for number in range(runs):
            self._say(depth, number, runs)
            answer = self._decoding(depth)
            read = self._reading(depth)
            prefill += [] if read.prefill is None else [read.prefill]
            decode += [] if answer.decode is None else [answer.decode]
            first.append(answer.first_seconds)
            self._learn(read.prefill, answer.decode)
            took = perf_counter() - started
            if limit and number + 1 >= _LEAST_RUNS and took * (number + 2) / (number + 1) > limit:
                break
        return DepthSpeed(
            depth=depth,
            prefill=spread(prefill),
            decode=spread(decode),
            first_token_seconds=spread(first),
        )

    def _decoding(self, depth: int) -> Timed:
        """An answer behind ``depth`` tokens; asked again with other words where it ends at once."""
        for _ in range(_TRIES):
            answer = self._answer(depth, self._decoded)
            if answer.tokens >= min(LEAST_TOKENS, self._decoded):
                break
        else:
            self._doubt(f"the model stopped after {answer.tokens} tokens, which are few to time")
        if not answer.stated and self._parallel == 1:
            self._doubt("the engine reports no times: they were measured from outside")
        self._check_depth(depth, answer)
        return answer

    def _reading(self, depth: int) -> Timed:
        """Reading more behind ``depth`` tokens that are in the cache already."""
        if not depth:
            return self._answer(self._read, 1)
        texts = [self._prompts.fresh(depth) for _ in range(self._parallel)]
        timed_together(self._session, texts, 1)
        longer = [self._prompts.longer(text, self._read) for text in texts]
        read = timed_together(self._session, longer, 1)
        if read.computed is not None and read.computed > 1.5 * self._read * self._parallel:
            self._doubt(
                "the engine evaluated prompts from the start again: prefill is the mean up to "
                "each depth"
            )
        return read

    def _answer(self, tokens: int, decoded: int) -> Timed:
        texts = [self._prompts.fresh(tokens) for _ in range(self._parallel)]
        return timed_together(self._session, texts, decoded)

    def _check_depth(self, depth: int, answer: Timed) -> None:
        if answer.prompt_tokens is None:
            return
        asked = answer.prompt_tokens / self._parallel
        if depth and abs(asked / depth - 1) > _OFF and depth not in self._off:
            self._off.add(depth)
            self._doubt(
                f"prompts for a depth of {depth:,} had different lengths, such as {asked:,.0f}"
            )

    def _doubt(self, text: str) -> None:
        if text not in self.doubts:
            self.doubts.append(text)

    # --- the time that is left -------------------------------------------------------------------

    def _learn(self, prefill: float | None, decode: float | None) -> None:
        if prefill and decode:
            self._rates = [*self._rates[-2:], (prefill, decode)]

    def _seconds(self, depth: int) -> float:
        """What one run takes, by the last ones."""
        prefill = median(rate for rate, _ in self._rates)
        decode = median(rate for _, rate in self._rates)
        many = self._parallel
        return many * ((2 * depth + self._read) / prefill + self._decoded / decode)

    def _say(self, depth: int, number: int, runs: int) -> None:
        left = ""
        if self._rates:
            seconds = self._seconds(depth) * (runs - number)
            seconds += sum(self._seconds(other) * runs for other in self.later)
            left = f", about {time_in_words(seconds)} left"
        self._tell(f"depth {depth:,}: run {number + 1} of {runs}{left}")


def spread(values: Iterable[float]) -> Spread | None:
    """The middle and the ends; None of nothing."""
    found = list(values)
    if not found:
        return None
    return Spread(median=median(found), low=min(found), high=max(found), runs=len(found))


def time_in_words(seconds: float) -> str:
    """``40 s``, ``12 min``."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
