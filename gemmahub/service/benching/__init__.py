"""The use case: how fast a model is on this machine, and what it takes.

At each depth, in each run, on prompts that no cache holds: the model reads so many tokens and goes
on for ``DECODED`` more (time to first token, decode), then it reads as many again and ``READ`` more
after them, which the engine computes behind what is in its cache (prefill).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Settings
from gemmahub.errors import BackendMissing, DoesNotFit, GemmahubError, NotInstalled, UsageError
from gemmahub.hardware.busy import BusyWatch, busy_now
from gemmahub.measurements.records import SpeedResult
from gemmahub.service.benching.depths import DECODED, READ, DepthBench, spread
from gemmahub.service.benching.memory import PeakMemory, free_on_devices, measured_memory
from gemmahub.service.benching.prompts import Prompts
from gemmahub.service.measuring import conditions_of, measured_model
from gemmahub.service.running import load
from gemmahub.service.tuned import taken_from_tuning
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gemmahub.engines.contract import Backend, Session, SessionInfo
    from gemmahub.measurements.records import DepthSpeed, MeasuredMemory
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.running import Running

__all__ = ["DECODED", "DEFAULT_DEPTHS", "READ", "BenchOptions", "Benched", "bench"]

DEFAULT_DEPTHS: Final = (0, 512, 8192)
DEFAULT_REPEAT: Final = 5
_MOST_DEPTHS: Final = 64
_SLACK: Final = 64  # tokens by which a prompt may be longer than it was meant to be
_CELLS: Final = 256
_LOADS: Final = 3
_QUICK_LOAD: Final = 3.0  # seconds; a load that takes longer is measured once


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is measured. ``depths`` None are the usual ones that the model was trained for,
    ``repeat`` None is five runs, and fewer where a depth takes long. ``settings`` and ``options``
    as of :func:`gemmahub.service.running.load`; the context is that of the deepest depth."""

    depths: tuple[int, ...] | None = None
    repeat: int | None = None
    parallel: int = 1
    backend: str | None = None
    settings: Settings = field(default_factory=Settings)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benched:
    """A result, what was measured, and whether that was ended before all depths were done."""

    variant: Variant
    result: SpeedResult
    interrupted: bool = False


def bench(
    here: Installation,
    reference: str,
    options: BenchOptions,
    on_stage: Callable[[str], None] | None = None,
) -> Benched:
    """Measure a model, and remember what was measured. An interrupt keeps the depths that are done.

    ``on_stage`` is told in words what is being done, and how long the rest takes.

    Raises: UsageError, NotInstalled; DoesNotFit; BackendError; KeyboardInterrupt where no depth was
    done.
    """
    job = _Job(here, reference, options, on_stage or (lambda _: None))
    doubts = job.busy_before()
    running, loads = job.loaded()
    pid: int | None = getattr(running.session, "pid", None)
    pids = None if pid is None else (pid,)
    with running.session as session, PeakMemory(pid) as peak:
        depths = job.checked(session.info.context)
        watch = BusyWatch()
        watch.mark(pids or ())
        done, more, interrupted = _measure(job, session, depths)
        peak.look()
        doubts += [*watch.doubts("meanwhile", pids), *more]
        memory = job.memory(session.info, peak.highest)
        conditions = conditions_of(here, running, here.hardware(), dict.fromkeys(doubts))
    result = SpeedResult(
        model=job.model,
        conditions=conditions,
        depths=done,
        load_seconds=spread(loads),
        parallel=options.parallel,
        memory=memory,
    )
    here.results.add([result])
    if result not in here.results.of(SpeedResult, result.model.content) and result.model.content:
        here.say(f"the results could not be saved in {here.config.data}: is the disk full?")
    return Benched(job.variant, result, interrupted)


def _measure(
    job: _Job, session: Session, depths: Sequence[int]
) -> tuple[tuple[DepthSpeed, ...], list[str], bool]:
    """The depths that were done, what is doubtful of them, and whether that was interrupted.

    Raises: BackendError; KeyboardInterrupt where none was done.
    """
    job.tell("warming up")
    found: list[DepthSpeed] = []
    depth_bench = DepthBench(session, Prompts(session), job.options.parallel, job.tell)
    depth_bench.warm_up()
    try:
        for number, depth in enumerate(depths):
            depth_bench.later = depths[number + 1 :]
            found.append(
                depth_bench.measure(depth, job.options.repeat or DEFAULT_REPEAT, job.limit)
            )
            job.look_at_devices()
    except KeyboardInterrupt:
        if not found:
            raise
        return tuple(found), depth_bench.doubts, True
    return tuple(found), depth_bench.doubts, False


class _Job:
    """One model that is measured: what is known before it is loaded."""

    def __init__(
        self,
        here: Installation,
        reference: str,
        options: BenchOptions,
        tell: Callable[[str], None],
    ) -> None:
        """Raises: UsageError, NotInstalled, DoesNotFit, BackendMissing."""
        self.here, self.options, self.tell = here, options, tell
        self.variant, recommended = here.chosen(reference)
        variant = self.variant
        engine = check_engine(here, variant, options)
        settings = options.settings
        if recommended is not None and settings.gpu_layers is None:
            placed = recommended.session_settings
            settings = replace(settings, **{n: placed[n] for n in _PLACED if n in placed})
        settings = replace(settings, **taken_from_tuning(here, variant, engine.name, settings))
        self.depths = _depths(options.depths, variant)
        self.settings = replace(
            settings,
            context=context_for(max(self.depths)) * options.parallel,
            parallel=options.parallel,
        )
        if "fixed_context" in engine.capabilities:
            self.settings = replace(self.settings, context=None)
        self.planned = planned_bytes(here, variant, self.settings)
        tell(f"reading {one_line(variant.reference)}")
        self.model = measured_model(here, variant)
        self.limit = None if options.repeat else LONG_SECONDS
        self.free_before: dict[str, int] = {}
        self.free_least: dict[str, int] = {}

    def busy_before(self) -> list[str]:
        """What keeps the machine busy before anything is measured."""
        self.tell("checking whether the machine is idle")
        return busy_now()

    def loaded(self) -> tuple[Running, list[float]]:
        """The loaded model, and how long loading took: where that is quick, several times."""
        self.free_before = free_on_devices(self.here.hardware())
        loads: list[float] = []
        while True:
            started = perf_counter()

            def stage(text: str) -> None:
                nonlocal started
                started = perf_counter()
                self.tell(text)

            running = load(
                self.here,
                self.variant.reference,
                self.settings,
                backend=self.options.backend,
                options=self.options.options,
                on_stage=stage,
                alone=False,
                draft=False if self.settings.drafter is None else None,
                needs="parallel" if self.options.parallel > 1 else "",
                tuned=False,
            )
            loads.append(perf_counter() - started)
            if loads[-1] > _QUICK_LOAD or len(loads) == _LOADS:
                self.look_at_devices()
                return running, loads
            running.session.close()

    def checked(self, context: int | None) -> tuple[int, ...]:
        """The depths, of which the default ones are left out that the engine gave no context for.

        Raises: UsageError for a demanded one.
        """
        if context is None:
            return self.depths
        fitting = tuple(depth for depth in self.depths if depth + _LEAST_ROOM <= context)
        if fitting == self.depths or (fitting and self.options.depths is None):
            return fitting
        raise _too_deep(max(self.depths), context, "its engine provides a context of")

    def memory(self, info: SessionInfo, process: int | None) -> MeasuredMemory:
        """What was planned, and what was seen."""
        return measured_memory(info, self.planned, process, self.free_before, self.free_least)

    def look_at_devices(self) -> None:
        """Remember what is free on accelerators, where that is less than before."""
        if not self.free_before:
            return
        for name, free in free_on_devices(self.here.hardware()).items():
            self.free_least[name] = min(free, self.free_least.get(name, free))


_LEAST_ROOM: Final = READ + DECODED
_PLACED: Final = ("gpu_layers", "experts_in_memory", "cache_in_memory")
LONG_SECONDS: Final = 120.0
"""A depth that takes longer is measured less often than five times, but twice at least."""


def context_for(depth: int) -> int:
    """Tokens of context that measuring at a depth takes."""
    return -(-(depth + READ + DECODED + _SLACK + depth // 64) // _CELLS) * _CELLS


def check_engine(here: Installation, variant: Variant, options: BenchOptions) -> Backend:
    """The engine that is measured.

    Raises: NotInstalled; UsageError for one whose timings mean nothing; BackendMissing.
    """
    if not variant.runnable:
        raise NotInstalled(
            f"{one_line(variant.reference)} is not on this machine",
            f"gemmahub pull {one_line(variant.reference)} downloads it",
            variant.reference,
        )
    model: Any = variant.served or next(iter(variant.artifacts))
    choice = here.choose(
        model,
        options.backend,
        needs="parallel" if options.parallel > 1 else "",
        header=variant.header,
    )
    backend = choice.offer.backend
    if not backend.automatic:
        raise UsageError(
            f"{backend.name} has no real timings", "measure with an engine that runs models"
        )
    if options.parallel > 1 and "parallel" not in backend.capabilities:
        raise BackendMissing(
            f"{backend.name} gives one answer at a time, not {options.parallel}",
            "leave out --parallel, or choose another one with --backend",
        )
    return backend


def _depths(wanted: Sequence[int] | None, variant: Variant) -> tuple[int, ...]:
    """In order, each once. Raises: UsageError."""
    depths = tuple(sorted(set(DEFAULT_DEPTHS if wanted is None else wanted)))
    trained = variant.architecture.get("context_length") or 0
    if not trained:
        return depths
    fitting = tuple(depth for depth in depths if depth + _LEAST_ROOM <= trained)
    if wanted is None and fitting:
        return fitting
    if fitting != depths and (wanted is not None or not fitting):
        raise _too_deep(depths[-1], trained, "it was trained for")
    return depths


def _too_deep(depth: int, context: int, why: str) -> UsageError:
    most = max(0, context - _LEAST_ROOM)
    return UsageError(
        f"a depth of {depth:,} needs {depth + _LEAST_ROOM:,} tokens, and {why} {context:,}",
        f"give depths up to {most:,}" if most else "too few to measure",
    )


def planned_bytes(here: Installation, variant: Variant, settings: Settings) -> int | None:
    """What a plan with these settings takes; None where nobody knows. Raises: DoesNotFit."""
    from gemmahub.service.plans import PlanOptions, plan

    options = PlanOptions(
        context=settings.context,
        cache_type_k=settings.cache_type_k,
        cache_type_v=settings.cache_type_v,
        flash_attention=settings.flash_attention,
        gpu_layers=settings.gpu_layers,
        experts_in_memory=settings.experts_in_memory or 0,
        cache_in_memory=settings.cache_in_memory,
        ubatch=settings.ubatch,
        parallel=settings.parallel,
        draft=False if settings.drafter is None else None,
        drafter=settings.drafter,
        tuned=False,
    )
    try:
        memory = plan(here, variant.reference, options).memory
    except GemmahubError:  # what no formula knows, its engine may load
        return None
    if not memory.fits:
        raise DoesNotFit(
            f"{one_line(variant.reference)} would not fit with {memory.settings.context:,} "
            f"tokens: {format_gib(-memory.headroom_bytes)} short",
            "measure at smaller depths (--depth 0,512), or with fewer --gpu-layers",
        )
    return memory.total_bytes
