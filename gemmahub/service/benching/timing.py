"""One answer, or several at once, with their counts and times."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import Session, Usage

LEAST_TOKENS: Final = 16
"""An answer of fewer tokens says nothing sure about speed."""


@dataclass(frozen=True, slots=True)
class Timed:
    """What answering took. ``computed`` tokens of the prompt were read, the others came from a
    cache. ``stated``: counts and times are the engine's own, else those of the clock here.
    """

    prompt_tokens: int | None
    computed: int | None
    tokens: int
    first_seconds: float
    prefill_seconds: float
    decode_seconds: float
    stated: bool

    @property
    def prefill(self) -> float | None:
        """Tokens a second of the prompt; None where nobody knows."""
        if not self.computed or self.prefill_seconds <= 0:
            return None
        return self.computed / self.prefill_seconds

    @property
    def decode(self) -> float | None:
        """Tokens a second of the answer: the first one belongs to the prompt. None where the answer
        was too short to say."""
        if self.tokens < 2 or self.decode_seconds <= 0:
            return None
        return (self.tokens - 1) / self.decode_seconds


@dataclass(slots=True)
class _Heard:
    """One answer as it arrived: the times of its chunks, and the usage that came last."""

    started: float = 0.0
    times: list[float] = field(default_factory=list)
    usage: Usage | None = None
    error: BaseException | None = None


def timed(session: Session, prompt: str, tokens: int) -> Timed:
    """Let a model read a text and go on with it for so many tokens; fewer where it ends by itself.

    Raises: BackendError.
    """
    heard = _listen(session, prompt, tokens)
    usage = heard.usage
    asked, said = (None, None) if usage is None else (usage.prompt_tokens, usage.tokens)
    computed = asked if usage is None or usage.prefill_tokens is None else usage.prefill_tokens
    first = heard.times[0] - heard.started if heard.times else 0.0
    prefill, decode = first, heard.times[-1] - heard.times[0] if heard.times else 0.0
    stated = usage is not None and bool(usage.prefill_seconds) and usage.decode_seconds is not None
    if stated and usage is not None:
        prefill, decode = usage.prefill_seconds or first, usage.decode_seconds or 0.0
    return Timed(
        asked,
        computed,
        # The last chunk carries the usage, and often no text.
        said if said is not None else max(0, len(heard.times) - 1),
        first,
        prefill,
        decode,
        stated,
    )


def timed_together(session: Session, prompts: Sequence[str], tokens: int) -> Timed:
    """The same for several prompts at once: speeds of all together, by the clock.

    Decoding counts from when the last prompt was read to when the first answer ended, where that is
    long enough. Raises: BackendError.
    """
    if len(prompts) == 1:
        return timed(session, prompts[0], tokens)
    heard = _listen_to_all(session, prompts, tokens)
    usages = [each.usage for each in heard]
    computed: int | None = 0
    for usage in usages:
        read = None if usage is None else usage.prefill_tokens or usage.prompt_tokens
        computed = None if computed is None or read is None else computed + read
    started = min(each.started for each in heard)
    firsts, ends = [h.times[0] for h in heard], [h.times[-1] for h in heard]
    said = [
        usage.tokens if usage is not None and usage.tokens is not None else len(each.times) - 1
        for usage, each in zip(usages, heard, strict=True)
    ]
    window, count = _window(heard, said)
    if count < LEAST_TOKENS * len(prompts) // 2:
        window, count = max(ends) - min(firsts), sum(said) - len(said)
    return Timed(
        prompt_tokens=computed,
        computed=computed,
        tokens=round(count) + 1,
        first_seconds=max(firsts) - started,
        prefill_seconds=max(firsts) - started,
        decode_seconds=window,
        stated=False,
    )


def _window(heard: Sequence[_Heard], said: Sequence[int]) -> tuple[float, float]:
    """Seconds in which all answers ran, and the tokens that came in them."""
    begin, end = max(h.times[0] for h in heard), min(h.times[-1] for h in heard)
    if end <= begin:
        return 0.0, 0.0
    count = 0.0
    for each, tokens in zip(heard, said, strict=True):
        inside = sum(begin < at <= end for at in each.times)
        count += inside * tokens / max(1, len(each.times))
    return end - begin, count


def _listen(session: Session, prompt: str, tokens: int) -> _Heard:
    heard = _Heard(started=perf_counter())
    sampling = Sampling(max_tokens=tokens, temperature=0, top_k=1, top_p=1.0)
    chunks: Any = session.generate(prompt, sampling)
    with closing(chunks):
        for chunk in chunks:
            if chunk.prompt_read is None:
                heard.times.append(perf_counter())
            heard.usage = chunk.usage or heard.usage
    return heard


def _listen_to_all(session: Session, prompts: Sequence[str], tokens: int) -> list[_Heard]:
    found = [_Heard() for _ in prompts]

    def listen(number: int) -> None:
        try:
            found[number] = _listen(session, prompts[number], tokens)
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            found[number].error = error

    threads = [threading.Thread(target=listen, args=(n,), daemon=True) for n in range(len(prompts))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:  # an interrupt: nothing may go on in the background
        session.cancel()
        for thread in threads:
            thread.join(5.0)
        raise
    for each in found:
        if each.error is not None:
            raise each.error
    return found
