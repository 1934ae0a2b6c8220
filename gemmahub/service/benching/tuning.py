"""The use case: the settings with which a model is fastest on this machine.

By successive halving (Karnin, Koren and Somekh, ICML 2013): all candidates are measured shortly,
the better half again, and so on, twice as often each time. What noise may have put behind stays:
a candidate whose fastest run was faster than the slowest of those that are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendError, DoesNotFit, GemmahubError
from gemmahub.hardware.busy import BusyWatch, busy_now
from gemmahub.measurements.tuned import TunedSettings, TunedStore
from gemmahub.service.benching.depths import time_in_words
from gemmahub.service.benching.prompts import Prompts
from gemmahub.service.benching.timing import timed
from gemmahub.service.benching.tuned_ways import (
    LAST,
    TriedSettings,
    better_than_usual,
    candidates,
    kept_of,
)
from gemmahub.service.measuring import conditions_of, measured_model
from gemmahub.service.running import load
from gemmahub.service.tuned import in_words
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub.engines.contract import Settings
    from gemmahub.registry.variants import Variant
    from gemmahub.service.benching import BenchOptions
    from gemmahub.service.installation import Installation

READ: Final = 512
DECODED: Final = 24
_ASKED: Final = 512  # tokens of the question and of the answer that a candidate is worth seconds of
_ANSWERED: Final = 256
_CONTEXT: Final = 2048
_MEANWHILE: Final = "meanwhile"


@dataclass(frozen=True, slots=True)
class Tuning:
    """The outcome: ``best`` None where nothing was faster than the usual settings by more than
    the spread. ``tried`` counts the candidates; ``problems`` are of those that did not load."""

    variant: Variant
    usual: TriedSettings
    best: TriedSettings | None
    tried: int
    doubts: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def gain(self) -> float:
        """How many times as fast the best is as the usual settings."""
        return 1.0 if self.best is None else self.usual.middle / self.best.middle

    def as_json(self) -> dict[str, Any]:
        """An entry of ``tuned`` in ``gemmahub bench --tune --json``."""
        best = {} if self.best is None else self.best.changes
        return {
            "reference": self.variant.reference,
            "settings": {n: v.name if isinstance(v, Path) else v for n, v in best.items()},
            "gain": round(self.gain, 3),
            "tried": self.tried,
            "doubts": list(self.doubts),
            "problems": list(self.problems),
        }

    @property
    def text(self) -> str:
        """As people read it."""
        if self.best is None:
            return (
                f"none of {self.tried} settings was faster than the defaults by more than the "
                "spread: the defaults stay"
            )
        return (
            f"{in_words(self.best.changes)}: {self.gain:.2f} times as fast as the default "
            f"settings ({self.best.middle:.2f} s in place of {self.usual.middle:.2f} s for a "
            f"question of {_ASKED} tokens and an answer of {_ANSWERED})"
        )


def tune(
    here: Installation,
    reference: str,
    options: BenchOptions,
    *,
    smaller_caches: bool = False,
    force: bool = False,
    on_stage: Callable[[str], None] | None = None,
) -> Tuning:
    """Find the fastest settings of a model, and keep them as those of this machine.

    Cache types below f16 lose quality: they are tried only with ``smaller_caches``. A machine on
    which others work is refused, unless ``force`` is given.

    Raises: as :func:`gemmahub.service.benching.bench`; GemmahubError for a busy machine.
    """
    from gemmahub.service.benching import check_engine

    tell = on_stage or (lambda _: None)
    variant, recommended = here.chosen(reference)
    engine = check_engine(here, variant, options)
    job = _Tuner(here, variant, options, tell, force=force)
    job.refuse_busy()
    base = {} if recommended is None else recommended.session_settings
    changes = candidates(here, variant, engine.capabilities, base, smaller_caches=smaller_caches)
    usual, *others = [TriedSettings(each) for each in changes]
    model = measured_model(here, variant)
    left = job.halved(usual, others)
    best = better_than_usual(usual, left)
    store = TunedStore(here.config.data)
    store.forget(model.content, engine.name)
    if best is not None and best.conditions is not None and model.content:
        gain = usual.middle / best.middle
        kept = {name: value for name, value in best.changes.items() if value is not None}
        if "drafter" in kept:
            kept["drafter"] = str(kept["drafter"])
        found = TunedSettings(conditions=best.conditions, gain=gain, **kept)
        store.set(model.content, engine.name, found)
        if store.of(model.content, engine.name) is None:
            here.say(f"the settings could not be saved in {here.config.data}")
    problems = dict.fromkeys(each.problem for each in others if each.problem)
    return Tuning(variant, usual, best, len(changes), tuple(job.doubts), tuple(problems))


class _Tuner:
    """Measures candidates of one model."""

    def __init__(
        self,
        here: Installation,
        variant: Variant,
        options: BenchOptions,
        tell: Callable[[str], None],
        *,
        force: bool,
    ) -> None:
        self._here, self._variant, self._options = here, variant, options
        self._tell, self._force = tell, force
        self.doubts: list[str] = []

    def refuse_busy(self) -> None:
        """Raises: GemmahubError where others work on the machine."""
        found = busy_now()
        if found and not self._force:
            raise GemmahubError(
                f"this machine is too busy to compare settings: {'; '.join(found)}",
                "close the other programs, or measure anyway with --force",
            )
        self._doubt(found)

    def halved(self, usual: TriedSettings, others: Sequence[TriedSettings]) -> list[TriedSettings]:
        """The candidates that are left in the end; the usual settings are measured in each
        round."""
        runs, left = 1, list(others)
        while True:
            self._round(usual, left, runs)
            left = [each for each in left if each.seconds and not each.problem]
            if not usual.seconds:
                raise DoesNotFit(
                    f"the default settings of {one_line(self._variant.reference)} do not "
                    f"load: {usual.problem}",
                    f"gemmahub plan {one_line(self._variant.reference)} shows their memory use",
                )
            if runs >= 4 and len(left) <= LAST:
                return left
            if runs >= 16:
                return left
            left = kept_of(left)
            runs *= 2

    def _round(self, usual: TriedSettings, left: Sequence[TriedSettings], runs: int) -> None:
        self.refuse_busy()
        everyone = [usual, *left]
        for number, candidate in enumerate(everyone):
            what = in_words(candidate.changes)
            self._tell(
                f"{number + 1} of {len(everyone)} settings, {runs} runs each"
                f"{self._left(everyone[number:], runs)}: {what}"
            )
            self._measure(candidate, runs)

    def _left(self, rest: Sequence[TriedSettings], runs: int) -> str:
        known = [each.middle for each in rest if each.seconds]
        if not known:
            return ""
        share = (READ + DECODED) / (_ASKED + _ANSWERED)
        return f", about {time_in_words(median(known) * share * len(rest) * runs)} left"

    def _measure(self, candidate: TriedSettings, runs: int) -> None:
        """Load it and time it; one that does not fit or load is out, with the reason."""
        from gemmahub.service.benching import planned_bytes

        settings = self._settings(candidate.changes)
        try:
            planned_bytes(self._here, self._variant, settings)
            running = load(
                self._here,
                self._variant.reference,
                settings,
                backend=self._options.backend,
                options=self._options.options,
                alone=False,
                draft=False if settings.drafter is None else None,
                tuned=False,
            )
        except (BackendError, DoesNotFit) as error:
            candidate.problem = f"{in_words(candidate.changes)}: {one_line(error.message)}"
            return
        with running.session as session:
            watch = BusyWatch()
            pid: int | None = getattr(session, "pid", None)
            pids = None if pid is None else (pid,)
            watch.mark(pids or ())
            try:
                prompts = Prompts(session)
                timed(session, prompts.fresh(READ), 2)  # warms up
                for _ in range(runs):
                    seconds = _seconds(session, prompts)
                    candidate.seconds += [] if seconds is None else [seconds]
            except BackendError as error:
                candidate.problem = f"{in_words(candidate.changes)}: {one_line(error.message)}"
                return
            if not any(doubt.endswith(_MEANWHILE) for doubt in self.doubts):
                self._doubt(watch.doubts(_MEANWHILE, pids))
            machine = self._here.hardware()
            candidate.conditions = conditions_of(self._here, running, machine, self.doubts)

    def _settings(self, changes: dict[str, Any]) -> Settings:
        given = dict(changes)
        if cache := given.pop("cache_type", None):
            given |= {"cache_type_k": cache, "cache_type_v": cache}
        trained = self._variant.architecture.get("context_length") or _CONTEXT
        settings = replace(self._options.settings, context=min(trained, _CONTEXT))
        return replace(settings, **given)

    def _doubt(self, texts: Sequence[str]) -> None:
        self.doubts += [text for text in texts if text not in self.doubts]


def _seconds(session: Any, prompts: Prompts) -> float | None:
    """What a question and its answer would take."""
    read = timed(session, prompts.fresh(READ), DECODED)
    if not read.prefill or not read.decode:
        return None
    return _ASKED / read.prefill + _ANSWERED / read.decode
