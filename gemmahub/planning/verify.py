"""A plan against a real load: what the engine allocated, and what its process holds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.engines.choice import load_session
from gemmahub.engines.contract import DeviceUse, Sampling
from gemmahub.engines.resident import resident_memory
from gemmahub.errors import ContextExceeded, DoesNotFit, NotFound, UsageError
from gemmahub.planning.dry_load import ENGINE_PARTS, HOST, engine_settings
from gemmahub.planning.verification import Verification, VerifiedPart
from gemmahub.text import format_gib
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import Artifact, OnProgress, Session
    from gemmahub.engines.manager import BackendOffer
    from gemmahub.memory import MemoryPlan
    from gemmahub.planning.plan import Plan

_TOKENS: Final = 8


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
        raise UsageError("--verify loads the text model only", "leave out --image")
    if not plan.memory.fits:
        raise DoesNotFit(
            f"{plan.variant.reference} would not fit: "
            f"{format_gib(-plan.memory.headroom_bytes)} short",
            "plan it with a smaller --context, --cache-type q8_0 or fewer --gpu-layers",
        )
    return plan.variant.artifacts[0]


def verify(
    plan: Plan,
    offer: BackendOffer,
    on_progress: OnProgress | None = None,
    workers: tuple[str, ...] = (),
) -> Plan:
    """The plan with what a load of its model really takes; loads it, and lets it say something.
    ``workers`` are those of other machines that it was made with.

    Raises: as :func:`loadable` and :func:`engine_settings`; BackendError of the load or the answer.
    """
    artifact, settings = loadable(plan), engine_settings(plan.memory, offer)
    settings = replace(settings, remote_workers=workers, drafter=plan.drafter)
    with load_session(offer, artifact, settings, on_progress) as session:
        counts = _touch(session, plan.memory.settings.tokens_a_step)
        pid: int | None = getattr(session, "pid", None)
        resident = None if pid is None else resident_memory(pid)
        info = session.info
    uses = info.memory or ()
    memory, host = plan.memory, plan.memory.places[-1]
    mapped = memory.mapped_bytes
    verification = Verification(
        engine=info.engine,
        device=info.device,
        parts=verified_parts(memory, uses),
        repack_bytes=sum(use.repack_bytes for use in uses),
        predicted_repack_bytes=memory.repack_bytes,
        predicted_mapped_bytes=mapped,
        predicted_anonymous_bytes=host.total_bytes - mapped,
        resident=resident,
        prompt_tokens=counts[0],
        tokens=counts[1],
    )
    return replace(plan, verification=verification)


def verified_parts(memory: MemoryPlan, uses: Sequence[DeviceUse]) -> tuple[VerifiedPart, ...]:
    """The parts that an engine can report, place by place; empty when it reports nothing.

    Accelerators are matched by their order; one that only one side uses stands by itself.
    """
    if not uses:
        return ()
    *accelerators, host = memory.places
    planned = [place for place in accelerators if place.total_bytes]
    used = [use for use in uses if use.device != HOST]
    own = next((use for use in uses if use.device == HOST), DeviceUse(HOST))
    rows: list[VerifiedPart] = []
    for number in range(max(len(planned), len(used))):
        place = planned[number] if number < len(planned) else None
        use = used[number] if number < len(used) else None
        name = place.device if place else use.device if use else ""
        rows += _rows(name, place, use)
    return tuple(rows + _rows(host.device, host, own))


def _rows(name: str, place: object, use: object) -> list[VerifiedPart]:
    found = [
        VerifiedPart(
            name,
            part.removesuffix("_bytes"),
            getattr(place, part, 0),
            getattr(use, part, 0),
        )
        for part in ENGINE_PARTS
    ]
    return [row for row in found if row.predicted_bytes or row.actual_bytes]


def _touch(session: Session, step: int) -> tuple[int, int]:
    """Let the model read a step's worth of words and answer: tokens read, tokens answered.

    The system gives pages of memory only when they are written to.
    """
    # A word is about a token; half of a small context stays for the unexpected and the answer.
    words = max(1, min(step, (session.info.context or step) // 2))
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
    return (usage.prompt_tokens or 0, usage.tokens or 0) if usage else (0, 0)
