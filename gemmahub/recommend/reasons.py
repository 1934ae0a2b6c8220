"""Why a plan is good, and what another one would gain or lose, in sentences for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.recommend.prompt import SHORT
from gemmahub.recommend.score import sum_in_words
from gemmahub.text import format_bytes, format_gib

if TYPE_CHECKING:
    from gemmahub.recommend.goals import Goal, Requirements
    from gemmahub.recommend.prompt import Wait
    from gemmahub.recommend.records import Candidate, ScoredPlan


def reasons_for(
    plan: ScoredPlan, largest: int, wanted: Requirements, disk: int | None = None
) -> tuple[str, ...]:
    """What a plan is worth by itself; ``largest`` is the context that would fit, ``disk`` the bytes
    that are free for new files."""
    return (
        _capability(plan),
        _precision(plan),
        _context(plan, largest, wanted),
        _room(plan),
        _speed(plan, wanted.goal),
        *_wait(plan),
        *_disk(plan, disk),
        f"Worth {sum_in_words(plan.score)}",
    )


def trade(one: ScoredPlan, other: ScoredPlan) -> str:
    """What taking ``other`` instead of ``one`` gains and loses."""
    gains = [
        worth(other.points - one.points),
        _faster(one, other),
        _tokens(other.settings.context - one.settings.context),
        _memory(other.memory.total_bytes - one.memory.total_bytes),
    ]
    return ", ".join(gain for gain in gains if gain) or "much the same"


def _capability(plan: ScoredPlan) -> str:
    candidate, quality = plan.candidate, plan.quality
    if candidate.model is not None and not candidate.model.instruction_tuned:
        return "A base model: it continues a text, and was not trained to answer."
    if quality.score is None:
        return f"Its capability is unknown ({quality.basis})."
    return f"MMLU-Pro {quality.score:g}, published for its unquantized weights."


def _precision(plan: ScoredPlan) -> str:
    loss = plan.quality.loss
    if loss.share is None:
        return f"The loss by its precision is unknown: {loss.reason}."
    if not loss.share:
        return "Full precision: nothing is lost."
    if plan.quality.score is None:
        return f"Its precision: {loss.reason}."
    return f"About {loss.share:.1%} of that is lost by its precision: {loss.reason}."


def _context(plan: ScoredPlan, largest: int, wanted: Requirements) -> str:
    settings, trained = plan.settings, plan.candidate.architecture.context_length
    text = f"{settings.context:,} tokens of context with a cache of {settings.cache_type_k}"
    if 0 < trained < settings.context:
        return (
            f"{text}: more than the {trained:,} that it was trained for, so expect worse answers."
        )
    if largest > settings.context:
        whole = " (all that it was trained for)" if largest == trained else ""
        text += f"; up to {largest:,} would fit{whole}"
    elif settings.context == trained:
        text += ", all that it was trained for"
    if wanted.context is None and settings.context < min(trained, wanted.goal.context):
        text += f"; {wanted.goal.context:,} would be better for {wanted.use}"
    return text + "."


def _room(plan: ScoredPlan) -> str:
    places = plan.memory.places
    parts = [
        f"{format_gib(p.total_bytes)} of the {format_gib(p.free_bytes)} free on {p.device}"
        for p in places
        if p.total_bytes
    ]
    text = f"Takes {' and '.join(parts)}"
    if left := plan.placement.in_words(len(plan.candidate.architecture.layers)):
        text += f"; {left} stay in system memory, which is slower"
    return text + "."


def _speed(plan: ScoredPlan, goal: Goal) -> str:
    speed = plan.speed
    if speed is None:
        return "Its speed is unknown: the bandwidth of that memory is unknown."
    slow = "" if plan.usable else f": slow here, below {goal.usable:g} tokens/s"
    return f"Answers at {speed_text(plan)} tokens/s ({speed.basis}){slow}."


def _disk(plan: ScoredPlan, free: int | None) -> tuple[str, ...]:
    """That the disk has no room for it."""
    if plan.storable or free is None:
        return ()
    return (f"The disk has no room for it: {disk_in_words(plan.candidate, free)}.",)


def disk_in_words(candidate: Candidate, free: int) -> str:
    """``14.4 GB, and 5.0 GB are free``."""
    return f"{format_bytes(candidate.weights.bytes)}, and {format_bytes(free)} are free"


def _wait(plan: ScoredPlan) -> tuple[str, ...]:
    """How long the first token takes, where that is known."""
    if plan.first_token is None or plan.whole_context is None:
        return ()
    return (
        f"The first token takes {_seconds(plan.first_token)} with a prompt of {SHORT:,} "
        f"tokens, {_seconds(plan.whole_context)} with one that fills the context (estimate).",
    )


def _seconds(wait: Wait) -> str:
    """``2 to 5 s``, ``1.5 to 4 min``: a band in one unit, in which the longer end is above 2."""
    unit, name = next((size, name) for size, name in _UNITS if wait.high >= 2 * size or name == "s")
    return f"{_round(wait.low / unit)} to {_round(wait.high / unit)} {name}"


_UNITS: Final = ((3600, "h"), (60, "min"), (1, "s"))


def speed_text(plan: ScoredPlan) -> str:
    """``57`` where it was measured, else ``30 to 80``; ``?`` where nothing is known."""
    speed = plan.speed
    if speed is None:
        return "?"
    if speed.low == speed.high:
        return _round(speed.likely)
    return f"{_round(speed.low)} to {_round(speed.high)}"


def wait_text(plan: ScoredPlan) -> str:
    """``2 to 5 s`` until the first token after a short prompt; ``?`` where it is not known."""
    return "?" if plan.first_token is None else _seconds(plan.first_token)


def _round(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def worth(difference: float) -> str:
    """``worth 2.0 points more``; empty where nobody would see the difference."""
    if abs(difference) < 0.05:
        return ""
    return f"worth {abs(difference):.1f} points {'more' if difference > 0 else 'less'}"


def _faster(one: ScoredPlan, other: ScoredPlan) -> str:
    if one.speed is None or other.speed is None:
        return ""
    ratio = other.speed.likely / one.speed.likely
    if 0.9 < ratio < 1.1:
        return ""
    return f"{ratio:.1f} times as fast" if ratio > 1 else f"{1 / ratio:.1f} times as slow"


def _tokens(difference: int) -> str:
    if not difference:
        return ""
    return f"{abs(difference):,} tokens {'more' if difference > 0 else 'fewer'}"


def _memory(difference: int) -> str:
    if abs(difference) < 1 << 26:
        return ""
    return f"{format_gib(abs(difference))} {'more' if difference > 0 else 'less'} memory"
