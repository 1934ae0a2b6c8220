"""A plan against a real load: what the engine allocated, and what its process holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.choice import load_session
from gemmahub.engines.contract import DeviceUse, Sampling
from gemmahub.engines.isolated import WorkerProcess
from gemmahub.engines.resident import Resident, resident_memory
from gemmahub.errors import ContextExceeded, DoesNotFit, NotFound, UsageError
from gemmahub.planning.exact import HOST, engine_settings
from gemmahub.planning.plan import PART_NAMES
from gemmahub.text import format_gib
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import Artifact, OnProgress, Session
    from gemmahub.engines.manager import BackendOffer
    from gemmahub.memory import MemoryPlan
    from gemmahub.planning.plan import Plan

_PARTS: Final = ("weights", "kv_cache", "compute", "output")
_TOKENS: Final = 8
_WORTH_A_NOTE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Compared:
    """One part of one place, predicted and actual, in bytes."""

    device: str
    part: str
    predicted_bytes: int
    actual_bytes: int

    @property
    def difference(self) -> float | None:
        """Actual against predicted, 0.01 for 1 % more; None where nothing was predicted."""
        if not self.predicted_bytes:
            return None if self.actual_bytes else 0.0
        return self.actual_bytes / self.predicted_bytes - 1

    def as_json(self) -> dict[str, Any]:
        """An entry of ``parts``."""
        return {
            "device": self.device,
            "part": self.part,
            "predicted_bytes": self.predicted_bytes,
            "actual_bytes": self.actual_bytes,
            "difference": self.difference,
        }


@dataclass(frozen=True, slots=True)
class Actual:
    """What a real load took. ``parts`` is empty where the engine does not report its buffers.

    ``repack_bytes`` are the engine's copies of weights in another order, ``predicted_repack_bytes``
    the most that was predicted. ``resident`` is the engine's process after an answer, None where
    the system does not say; ``predicted_mapped_bytes`` and ``predicted_anonymous_bytes`` are what
    of the plan belongs to it: mapped weights, and host buffers without copies of weights.
    """

    engine: str
    device: str
    parts: tuple[Compared, ...]
    repack_bytes: int
    predicted_repack_bytes: int
    predicted_mapped_bytes: int
    predicted_anonymous_bytes: int
    resident: Resident | None
    prompt_tokens: int
    tokens: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What differs by more than 5 %, and what the system did not tell."""
        found = []
        if not self.parts:
            found.append(f"{self.engine} does not say what it allocated")
        for row in self.parts:
            difference = row.difference
            if difference is None or abs(difference) > _WORTH_A_NOTE:
                how = "not predicted" if difference is None else f"{difference:+.1%}"
                name = PART_NAMES[row.part]
                found.append(f"{name} on {row.device}: more than 5 % off the plan ({how})")
        return (*found, *self._resident_notes())

    def _resident_notes(self) -> list[str]:
        """How the resident memory relates to the plan."""
        held = self.resident
        if held is None:
            return ["the resident memory of the engine's process is not known here"]
        found = []
        if self.predicted_mapped_bytes:
            found.append(
                "mapped weights are resident as pages of a file, which the system can drop and "
                "read again; so is the code of the engine"
            )
        if held.anonymous_bytes is not None and self.parts:
            more = held.anonymous_bytes - self.predicted_anonymous_bytes
            rest = more - self.repack_bytes
            found.append(
                f"anonymous memory is {format_gib(more)} above the plan's buffers: "
                f"{format_gib(self.repack_bytes)} are weights in another order (repack), "
                f"{format_gib(rest)} are Python, the engine and its vocabulary"
                if rest >= 0
                else "not all of the buffers is resident: parts of them were not written to yet"
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """The object ``actual`` of ``gemmahub plan --verify --json``."""
        return {
            "engine": self.engine,
            "device": self.device,
            "parts": [row.as_json() for row in self.parts],
            "total_bytes": sum(row.actual_bytes for row in self.parts) + self.repack_bytes,
            "repack_bytes": self.repack_bytes,
            "predicted_repack_bytes": self.predicted_repack_bytes,
            "predicted_mapped_bytes": self.predicted_mapped_bytes,
            "predicted_anonymous_bytes": self.predicted_anonymous_bytes,
            "resident": self.resident.as_json() if self.resident else None,
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
        }


def loadable(plan: Plan) -> Artifact:
    """The file that a load of the plan reads.

    Raises: NotFound when it is not on this machine; UsageError for a plan with images, which
    gemmahub does not load; DoesNotFit.
    """
    if not plan.variant.artifacts:
        raise NotFound(
            f"{plan.variant.reference} is not on this machine, so it cannot be loaded",
            f"{command_line('pull', plan.variant.reference)}, or plan without --verify",
        )
    if plan.with_images:
        raise UsageError("--verify loads the text model only", "leave --image out")
    if not plan.memory.fits:
        raise DoesNotFit(
            f"{plan.variant.reference} would not fit: "
            f"{format_gib(-plan.memory.headroom_bytes)} too much",
            "plan it with a smaller --context, --cache-type q8_0 or fewer --gpu-layers",
        )
    return plan.variant.artifacts[0]


def verified(plan: Plan, offer: BackendOffer, on_progress: OnProgress | None = None) -> Plan:
    """The plan with what a load of its model really takes; loads it, and lets it say something.

    Raises: as :func:`loadable` and :func:`engine_settings`; BackendError of the load or the answer.
    """
    artifact, settings = loadable(plan), engine_settings(plan.memory, offer.backend)
    with load_session(offer, artifact, settings, on_progress) as session:
        counts = _touch(session, plan.memory.settings.tokens_a_step)
        pid = session.pid if isinstance(session, WorkerProcess) else None
        resident = None if pid is None else resident_memory(pid)
        info = session.info
    uses = info.memory or ()
    memory, host = plan.memory, plan.memory.places[-1]
    mapped = memory.mapped_bytes
    actual = Actual(
        engine=info.engine,
        device=info.device,
        parts=compared(memory, uses),
        repack_bytes=sum(use.repack_bytes for use in uses),
        predicted_repack_bytes=memory.repack_bytes,
        predicted_mapped_bytes=mapped,
        predicted_anonymous_bytes=host.total_bytes - mapped,
        resident=resident,
        prompt_tokens=counts[0],
        tokens=counts[1],
    )
    return replace(plan, actual=actual)


def compared(memory: MemoryPlan, uses: Sequence[DeviceUse]) -> tuple[Compared, ...]:
    """The parts that an engine can report, place by place; empty when it reports nothing.

    Accelerators are matched by their order; one that only one side uses stands by itself.
    """
    if not uses:
        return ()
    *accelerators, host = memory.places
    planned = [place for place in accelerators if place.total_bytes]
    used = [use for use in uses if use.device != HOST]
    own = next((use for use in uses if use.device == HOST), DeviceUse(HOST))
    rows: list[Compared] = []
    for number in range(max(len(planned), len(used))):
        place = planned[number] if number < len(planned) else None
        use = used[number] if number < len(used) else None
        name = place.device if place else use.device if use else ""
        rows += _rows(name, place, use)
    return tuple(rows + _rows(host.device, host, own))


def _rows(name: str, place: object, use: object) -> list[Compared]:
    found = [
        Compared(
            name,
            part,
            getattr(place, f"{part}_bytes", 0),
            getattr(use, f"{part}_bytes", 0),
        )
        for part in _PARTS
    ]
    return [row for row in found if row.predicted_bytes or row.actual_bytes]


def _touch(session: Session, step: int) -> tuple[int, int]:
    """Let the model read a step's worth of words and answer: tokens read, tokens answered.

    The system gives pages of memory only when they are written to.
    """
    # A word is about a token; half of a small context stays for the unexpected and the answer.
    words = max(1, min(step, session.info.context // 2))
    sampling = Sampling(max_tokens=_TOKENS, temperature=0)
    while True:
        try:
            *_, last = session.generate(" word" * words, sampling)
            break
        except ContextExceeded:  # with this vocabulary a word is several tokens
            if words == 1:
                raise
            words = max(1, words // 4)
    usage = last.usage
    return (usage.prompt_tokens, usage.tokens) if usage else (0, 0)
