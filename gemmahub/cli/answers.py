"""One answer on a terminal or in a pipe: streamed, stopped by Ctrl-C, its end told."""

from __future__ import annotations

import signal
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from gemmahub.cli import output
from gemmahub.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from gemmahub.conversations import AnswerFinished, ChatEvent, ChatSession, Timings
    from gemmahub.engines.contract import Usage


def show_answer(
    chat: ChatSession, events: Generator[ChatEvent, None, None], *, verbose: bool
) -> int:
    """Stream one answer; Ctrl-C stops it, and what came is shown.

    Raises: what ended the answer.
    """
    from gemmahub.conversations import AnswerDelta, AnswerFinished, AnswerStarted

    finished: AnswerFinished | None = None
    answered = reading = False
    shown, thought = output.AnswerPrinter(), output.ThoughtPrinter()
    with _interruptible(chat.stop) as interrupted, closing(events):
        for event in events:
            if isinstance(event, AnswerStarted):
                continue
            if isinstance(event, AnswerDelta) and (done := event.prompt_read) is not None:
                output.progress(f"reading the prompt: {done.read:,} of {done.total:,} tokens")
                reading = True
                continue
            if reading:
                output.progress("")
                reading = False
            thought.write(event.thought)
            if event.text:
                answered = True
                thought.end()
                shown.write(event.text)
            finished = event if isinstance(event, AnswerFinished) else finished
    assert finished is not None
    thought.end()
    if finished.error is None or finished.first_token_seconds:
        shown.end()
    _tell_end(finished, answered=answered, verbose=verbose)
    return ExitCode.INTERRUPTED if interrupted else ExitCode.DONE


def _tell_end(finished: AnswerFinished, *, answered: bool, verbose: bool) -> None:
    if finished.unsaved is not None:
        output.warning(f"this answer was not saved: {finished.unsaved.message}")
    if finished.error is not None:
        raise finished.error
    usage = finished.usage
    if usage is None:
        return
    if finished.timings is not None and finished.timings.thought:
        _tell_thought(finished.timings, usage, answered=answered, verbose=verbose)
    if usage.truncated:
        output.warning("the prompt was truncated: it is longer than the context (--ctx-size)")
    if usage.finish_reason == "context":
        size = "" if usage.context is None else f" of {usage.context:,} tokens"
        output.warning(f"the context{size} is full; use a larger --ctx-size")
    if verbose:
        output.note(_timings(usage))


def _tell_thought(timings: Timings, usage: Usage, *, answered: bool, verbose: bool) -> None:
    """How long it was, where it is not shown, and that nothing came of it."""
    if verbose or not output.shows_thoughts():
        output.note(timings.thought)
    if not answered and usage.finish_reason != "cancelled":
        output.warning(
            "the model did not finish thinking, so there is no answer",
            "allow a longer answer with --max-tokens, or less thinking with --think-budget",
        )


def _timings(usage: Usage) -> str:
    """What the engine said of the answer; ``?`` for what it did not say."""

    def count(number: int | None) -> str:
        return "?" if number is None else f"{number:,}"

    def rate(tokens: int | None, seconds: float | None) -> str:
        if tokens is None or seconds is None:
            return "? tokens/s"
        return f"{tokens / seconds:.1f} tokens/s" if seconds > 0 else "no time"

    prefill = usage.prefill_seconds
    took = "?" if prefill is None else f"{prefill * 1000:.0f}"
    return (
        f"prompt {count(usage.prompt_tokens)} tokens, {count(usage.prefill_tokens)} evaluated "
        f"in {took} ms ({rate(usage.prefill_tokens, prefill)}) · answer {count(usage.tokens)} "
        f"tokens ({rate(usage.tokens, usage.decode_seconds)}) · context "
        f"{count(usage.context_used)} of {count(usage.context)} · ended by "
        f"{usage.finish_reason}"
    )


@contextmanager
def _interruptible(cancel: Callable[[], object]) -> Iterator[list[int]]:
    """Ctrl-C asks the engine to stop; a second one ends the program.

    The list that comes back is empty until then. An exception would tear down the stream of chunks,
    and with it the last one, which carries the usage.
    """
    interrupts: list[int] = []

    def stop(number: int, frame: object) -> None:
        if interrupts:
            raise KeyboardInterrupt
        interrupts.append(number)
        _say_stopping()
        cancel()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


def _say_stopping() -> None:
    """At once: an engine may be in the middle of a long step, or have been stopped itself."""
    # The signal may come while this very stream is written to, which allows no second write.
    with suppress(RuntimeError):
        output.note("\nstopping the engine; press Ctrl-C again to quit")
