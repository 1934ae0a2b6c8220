"""What ``bench`` asks of an engine, and what it makes of the answers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import (
    Chunk,
    FinishReason,
    Sampling,
    SessionBase,
    SessionInfo,
    Settings,
    Usage,
)
from gemmahub.errors import GenerationFailed
from gemmahub.service.benching.depths import DECODED, READ, DepthBench
from gemmahub.service.benching.memory import free_on_devices, measured_memory
from gemmahub.service.benching.prompts import Prompts
from gemmahub.service.benching.timing import timed, timed_together

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFILL = 100.0
DECODE = 10.0


class StatingEngine(SessionBase):
    """An engine that reads 100 tokens a second and answers at 10, by its own account. A word is two
    tokens, behind one that begins the text; it keeps the prompt before in its cache."""

    def __init__(
        self, *, states: bool = True, caches: bool = True, ends_after: int | None = None
    ) -> None:
        self.info = SessionInfo("an engine 1", 8192, 8192, False, "CPU", Settings())
        self.states, self.caches, self.ends_after = states, caches, ends_after
        self.asked: list[tuple[int, int]] = []
        self.prompts: list[str] = []
        self._lock = threading.Lock()

    def generate(self, prompt: Any, sampling: Sampling) -> Iterator[Chunk]:
        tokens = 1 + 2 * len(prompt.split())
        before = self.prompts[-1] if self.prompts else None
        kept = 0
        if self.caches and before is not None and prompt.startswith(before):
            kept = 1 + 2 * len(before.split())
        said = sampling.max_tokens or 0
        if self.ends_after is not None:
            said = min(said, self.ends_after)
        with self._lock:
            self.prompts.append(prompt)
            self.asked.append((tokens, said))
        for _ in range(said):
            yield Chunk("x")
        usage = Usage(FinishReason.LENGTH)
        if self.states:
            usage = Usage(
                FinishReason.LENGTH,
                prompt_tokens=tokens,
                prefill_tokens=tokens - kept,
                tokens=said,
                prefill_seconds=(tokens - kept) / PREFILL,
                decode_seconds=max(0, said - 1) / DECODE,
            )
        yield Chunk("", usage)


def bench_of(engine: StatingEngine, parallel: int = 1) -> DepthBench:
    return DepthBench(engine, Prompts(engine), parallel, lambda _: None)


@pytest.mark.parametrize("depth", [0, 512, 4096])
def test_speeds_are_those_that_the_engine_states(depth: int) -> None:
    engine = StatingEngine()
    bench = bench_of(engine)
    found = bench.measure(depth, 3, None)
    assert (found.depth, bench.doubts) == (depth, [])
    assert found.prefill is not None
    assert found.decode is not None
    assert found.first_token_seconds is not None
    assert (found.prefill.median, found.decode.median) == pytest.approx((PREFILL, DECODE))
    assert found.prefill.runs == found.decode.runs == 3
    asked = engine.asked[2:]  # after those that counted words
    if depth:
        assert {abs(tokens - depth) <= 1 for tokens, _ in asked[::3]} == {True}
        assert {said for _, said in asked[::3]} == {DECODED}
        assert {abs(tokens - depth - READ) <= 2 for tokens, _ in asked[2::3]} == {True}
    else:
        assert {tokens for tokens, _ in asked[::2]} == {3}


def test_no_prompt_is_in_a_cache_of_the_one_before() -> None:
    engine = StatingEngine()
    bench_of(engine).measure(64, 4, None)
    fresh = [one for one in engine.prompts if not one.startswith(tuple(engine.prompts[:0]))]
    firsts = [one.split()[0] for one in fresh]
    others = zip(engine.prompts, engine.prompts[1:], strict=False)
    assert all(
        after.startswith(before) or after.split()[0] != before.split()[0]
        for before, after in others
    )
    assert len(set(firsts)) > 8


def test_an_engine_that_reads_all_again_is_reported() -> None:
    bench = bench_of(StatingEngine(caches=False))
    bench.measure(2048, 1, None)
    assert any("from the start again" in doubt for doubt in bench.doubts)


def test_an_engine_without_counts_and_times_is_measured_by_the_clock() -> None:
    bench = bench_of(StatingEngine(states=False))
    found = bench.measure(8, 1, None)
    assert found.first_token_seconds is not None
    assert any("reports no times" in doubt for doubt in bench.doubts)
    assert any("does not count" in doubt for doubt in bench.doubts)


def test_a_model_that_ends_at_once_is_asked_again_and_then_said() -> None:
    engine = StatingEngine(ends_after=4)
    bench = bench_of(engine)
    before = len(engine.asked)
    found = bench.measure(0, 1, None)
    assert len(engine.asked) - before == 4  # three tries, and one that reads
    assert found.decode is not None
    assert found.decode.median == pytest.approx(DECODE)
    assert bench.doubts == ["the model stopped after 4 tokens, which are few to time"]


def test_several_conversations_count_together() -> None:
    engine = StatingEngine(caches=False)
    found = timed_together(engine, ["one two", "three four"], 32)
    assert found.computed == 10
    assert found.tokens > 16
    assert not found.stated


def test_an_error_of_one_of_several_is_raised() -> None:
    class Failing(StatingEngine):
        def generate(self, prompt: Any, sampling: Sampling) -> Iterator[Chunk]:
            if "bad" in prompt:
                raise GenerationFailed("no", "")
            yield from super().generate(prompt, sampling)

    with pytest.raises(GenerationFailed):
        timed_together(Failing(), ["good one", "bad one"], 4)


def test_a_long_depth_has_fewer_runs_but_two() -> None:
    found = bench_of(StatingEngine()).measure(16, 5, limit=1e-9)
    assert found.decode is not None
    assert found.decode.runs == 2


def test_the_time_that_is_left_is_reported() -> None:
    said: list[str] = []
    engine = StatingEngine()
    bench = DepthBench(engine, Prompts(engine), 1, said.append)
    bench.warm_up()
    bench.later = (1024,)
    bench.measure(0, 1, None)
    # One run now: 512 tokens read and 64 answered; one at 1,024: 2,560 and 64.
    assert said == ["depth 0: run 1 of 1, about 44 s left"]


def test_a_single_answer_takes_the_engines_counts() -> None:
    found = timed(StatingEngine(), "one two three", 5)
    assert (found.prompt_tokens, found.computed, found.tokens) == (7, 7, 5)
    assert found.prefill == pytest.approx(PREFILL)
    assert found.decode == pytest.approx(DECODE)


def test_memory_adds_up_what_the_engine_and_the_driver_say() -> None:
    from dataclasses import replace

    from gemmahub.engines.contract import DeviceUse
    from gemmahub.hardware.simulate import preset_machine

    machine = preset_machine("rtx-3090")
    (name,) = free_on_devices(machine)
    info = replace(
        StatingEngine().info,
        memory=(DeviceUse("CPU", 1, 2, 3, 4, 5, 6, 7), DeviceUse("CUDA0", weights_bytes=100)),
    )
    found = measured_memory(info, 120, 50, {name: 1000}, {name: 700})
    assert (found.planned, found.engine, found.process, found.devices) == (120, 128, 50, 300)
    nothing = measured_memory(StatingEngine().info, None, None, {}, {})
    assert nothing.as_json() == {}
