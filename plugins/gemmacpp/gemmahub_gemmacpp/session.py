"""A model of gemma.cpp: the program is started for each answer, and ends with it."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Chunk, FinishReason, SessionBase, Usage
from gemmahub.engines.program import start_program
from gemmahub.engines.prompt_length import check_text
from gemmahub.engines.sampling import DEFAULT_TOP_K, check_sampling
from gemmahub.engines.text_stream import TextStream
from gemmahub.errors import Cancelled, ContextExceeded, GenerationFailed
from gemmahub_gemmacpp.answer import AnswerText, Timing
from gemmahub_gemmacpp.relay import piece_of
from gemmahub_gemmacpp.turns import prompt_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmahub.engines.contract import Prompt, Sampling, SessionInfo
    from gemmahub.engines.program import Program
    from gemmahub_gemmacpp.config import ModelConfig

_LOOK_SECONDS: Final = 0.05
_TOO_LONG: Final = ("seq_len", "max_seq_len", "prompt_size", "exceeds")


@dataclass(slots=True)
class _Run:
    """One answer: the program, and what it has said."""

    pieces: Queue[bytes]
    timing: Timing
    program: Program | None = None
    stopped: bool = False

    def keep(self, line: str) -> bool:
        """Take a line of the program; of an answer nothing goes to the log."""
        piece = piece_of(line)
        if piece is None:
            self.timing.take(line)
            return True
        self.pieces.put(piece)
        return False


class GemmaCppSession(SessionBase):
    """Answers by starting ``gemma`` with the whole conversation: it keeps none between answers."""

    def __init__(self, info: SessionInfo, command: Sequence[str], config: ModelConfig) -> None:
        self.info = info
        self._command = tuple(command)
        self._config = config
        self._run: _Run | None = None
        self._closed = False

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer. Raises: ContextExceeded, TemplateError, GenerationFailed,
        BackendCrashed."""
        check_sampling(sampling)
        if self._closed:
            raise GenerationFailed("the session is closed", "load the model again")
        if not prompt:
            raise GenerationFailed("there is nothing to answer", "write a message")
        check_text(prompt, self.info)
        turns, version = self._config.takes_turns, self._config.version
        text = prompt_text(prompt, takes_turns=turns, version=version)
        if not text.strip():
            raise GenerationFailed("there is nothing to answer", "write a message")
        return self._answer(text, sampling)

    def cancel(self) -> None:
        """End the program that answers."""
        if (run := self._run) is not None:
            run.stopped = True
            if run.program is not None:
                run.program.kill()

    def close(self) -> None:
        """End what runs; twice is fine."""
        self._closed = True
        self.cancel()

    def _answer(self, text: str, sampling: Sampling) -> Iterator[Chunk]:
        if sampling.max_tokens == 0:
            yield Chunk("", Usage(FinishReason.LENGTH, tokens=0, context=self.info.context))
            return
        run = self._run = _Run(Queue(), Timing())
        handle, name = tempfile.mkstemp(prefix="gemmahub-prompt-")  # for its owner's eyes
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            with suppress(Cancelled):
                run.program = start_program(
                    [*self._command, "--prompt_file", name, *_sampling_words(sampling, self.info)],
                    name="gemma",
                    keep=run.keep,
                    patience=0.0,
                    cancelled=lambda: run.stopped,
                )
            yield from self._read(run, sampling)
        finally:
            run.stopped = True
            if run.program is not None:
                run.program.kill()
            Path(name).unlink(missing_ok=True)
            if self._run is run:
                self._run = None

    def _read(self, run: _Run, sampling: Sampling) -> Iterator[Chunk]:
        answer, stream, begin = AnswerText(), TextStream(), TextStream(sampling.stop)
        for piece in _pieces(run):
            # Bytes become characters first; stop texts are looked for in the answer alone.
            found = begin.feed(answer.feed(stream.feed(piece)).encode())
            if found:
                yield Chunk(found)
            if begin.stopped:
                yield Chunk("", self._usage(run, answer, FinishReason.STOP))
                return
        if self._closed:
            raise GenerationFailed("the session was closed", "load the model again")
        if run.stopped:
            yield Chunk("", self._usage(run, answer, FinishReason.CANCELLED))
            return
        if run.timing.tokens is None:
            raise self._failed(run)
        rest = begin.feed((answer.feed(stream.finish()) + answer.finish()).encode())
        yield Chunk(rest + begin.finish(), self._usage(run, answer, _reason(run, sampling, self)))

    def _failed(self, run: _Run) -> Exception:
        """What to raise for a program that ended without its figures."""
        assert run.program is not None
        crash = run.program.crash("while answering")
        if any(sign in crash.message for sign in _TOO_LONG):
            context = f"{self.info.context:,}" if self.info.context else "it has"
            return ContextExceeded(
                f"the prompt does not fit the context of {context} tokens: {crash.message}",
                "shorten the prompt, or load the model with a larger --ctx-size",
            )
        return crash

    def _usage(self, run: _Run, answer: AnswerText, reason: FinishReason) -> Usage:
        timing = run.timing
        prompt = timing.prompt_tokens
        if prompt is None and answer.prompt_tokens:
            prompt = answer.prompt_tokens
        used = None if prompt is None or timing.tokens is None else prompt + timing.tokens
        return Usage(
            reason,
            prompt_tokens=prompt,
            prefill_tokens=prompt,
            tokens=timing.tokens,
            prefill_seconds=timing.prefill_seconds,
            decode_seconds=timing.decode_seconds,
            context_used=used,
            context=self.info.context,
        )


def _pieces(run: _Run) -> Iterator[bytes]:
    """What the program writes, until it has ended and all of it was taken."""
    program = run.program
    while program is not None and not run.stopped:
        ended = not program.running  # asked before reading: later output is read in the next round
        try:
            yield run.pieces.get(timeout=0 if ended else _LOOK_SECONDS)
        except Empty:
            if ended:
                return


def _reason(run: _Run, sampling: Sampling, session: GemmaCppSession) -> FinishReason:
    timing, context = run.timing, session.info.context
    if sampling.max_tokens is not None and (timing.tokens or 0) >= sampling.max_tokens:
        return FinishReason.LENGTH
    used = (timing.prompt_tokens or 0) + (timing.tokens or 0)
    return FinishReason.CONTEXT if context and used >= context else FinishReason.STOP


def _sampling_words(sampling: Sampling, info: SessionInfo) -> list[str]:
    """Temperature 0 takes the most probable token; top-p and min-p are unknown to gemma.cpp."""
    greedy = sampling.temperature == 0
    top_k = 1 if greedy else (DEFAULT_TOP_K if sampling.top_k is None else sampling.top_k or 1000)
    most = sampling.max_tokens if sampling.max_tokens is not None else info.context or 4096
    words = {
        "max_generated_tokens": most,
        "temperature": 1.0 if greedy else sampling.temperature,
        "top_k": top_k,
        "deterministic": int(greedy or sampling.seed is not None),
    }
    return [word for name, value in words.items() for word in (f"--{name}", str(value))]


def relayed(command: Sequence[str]) -> list[str]:
    """The command of a program whose answer is handed on as it comes."""
    relay = Path(__file__).with_name("relay.py")
    return [sys.executable, "-I", str(relay), *command]
