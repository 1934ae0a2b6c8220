"""Tests of answers: text, counts, limits, repetition, and what an engine may not do."""

from __future__ import annotations

import math
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Chunk, FinishReason, Message, Sampling
from gemmahub.errors import BackendError, ContextExceeded
from gemmahub.testing.conformance.kit import Kit, only_backend_errors, read, told

if TYPE_CHECKING:
    from gemmahub.engines.contract import Artifact, Backend, Session, Usage

_ENDS = (FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTEXT)


class AnsweringTests(Kit):
    """Tests of ``generate``."""

    def test_streams_chunks(self, session: Session) -> None:
        """Text comes in pieces, not all at the end; the last chunk carries the usage."""
        answer = self.ask(session)
        assert all(isinstance(chunk, Chunk) for chunk in answer.chunks)
        assert all(isinstance(chunk.text, str) for chunk in answer.chunks)
        assert answer.text, "no text came; choose another prompt"
        if (answer.usage.tokens or 0) >= 4:
            assert sum(bool(chunk.text) for chunk in answer.chunks) > 1, (
                "the text came in one piece"
            )

    def test_conversation_is_answered(self, session: Session) -> None:
        """Messages are taken, also where the model has no chat template."""
        asked = [Message("user", self.prompt)]
        talked = [*asked, Message("assistant", "Paris."), Message("user", self.prompt)]
        first, second = self.ask(session, asked), self.ask(session, talked)
        for answer in (first, second):
            assert answer.text or answer.usage.finish_reason is FinishReason.STOP
            assert answer.usage.prompt_tokens is None or answer.usage.prompt_tokens > 0

    def test_characters_are_never_cut(self, session: Session) -> None:
        """A character of several bytes comes whole, in one chunk.

        Only the end of an answer that ``max_tokens`` cut off may lack some bytes. Decode with
        ``gemmahub.engines.text_stream.TextStream``, or with an incremental decoder.
        """
        seen = ""
        for prompt in self.multibyte_prompts:
            answer = self.ask(session, prompt, max_tokens=24)
            last = len(answer.chunks) - 1
            for number, chunk in enumerate(answer.chunks):
                where = f"in chunk {number} of the answer to {prompt!r}: {chunk.text!r}"
                chunk.text.encode()  # a lone surrogate is half a character
                cut_off = number == last and answer.usage.finish_reason is FinishReason.LENGTH
                assert cut_off or "\ufffd" not in chunk.text, f"a broken character {where}"
            seen += answer.text
        assert not seen.isascii(), "the answers prove nothing; choose other multibyte_prompts"

    # --- limits --------------------------------------------------------------------------------

    @pytest.mark.parametrize("most", [1, 3])
    def test_max_tokens(self, session: Session, most: int) -> None:
        """No more tokens than asked for, and LENGTH as the reason."""
        usage = self.ask(session, max_tokens=most).usage
        assert usage.finish_reason is FinishReason.LENGTH
        assert usage.tokens in (most, None)

    def test_stop_text_ends_the_answer(self, session: Session) -> None:
        """The answer ends before a stop text, wherever the tokens fall, with STOP."""
        whole = self.ask(session).text
        middle = len(whole) // 2
        stop = whole[middle : middle + 4]
        answer = self.ask(session, stop=("no such text", stop))
        assert answer.text == whole[: whole.index(stop)], f"stop text {stop!r}"
        assert answer.usage.finish_reason is FinishReason.STOP

    def test_prompt_longer_than_the_context(self, session: Session) -> None:
        """Refused with ContextExceeded, or cut and reported as truncated; never in silence."""
        size = told(session.info.context, "its context")
        usage: Usage | None = None
        with only_backend_errors("a prompt longer than the context") as caught:
            usage = self.ask(session, "dog " * (size + 64), max_tokens=1).usage
        if usage is None:
            assert isinstance(caught[0], ContextExceeded)
        else:
            assert usage.truncated, "the prompt did not fit, and no error was raised"
            assert usage.context_used is None or usage.context_used <= size
        assert self.ask(session).text, "the session is usable afterwards"

    def test_full_context_ends_the_answer(self, session: Session) -> None:
        """Prompt and answer together never take more than the context, whatever is asked for."""
        size = told(session.info.context, "its context")
        answer = self.ask(session, self.prompt_of(session, size - 24), max_tokens=256)
        usage = answer.usage
        self._counts(usage, session)
        if not usage.truncated:
            assert told(usage.tokens, "tokens") < 256, "more tokens than the context has room for"
        assert usage.finish_reason in _ENDS

    # --- repetition ----------------------------------------------------------------------------

    def test_temperature_zero_repeats(self, session: Session) -> None:
        """The same prompt gives the same text, also after another one."""
        first = self.ask(session).text
        self.ask(session, self.multibyte_prompts[0])
        assert self.ask(session).text == first
        assert self.ask(session).text == first

    def test_seed_repeats(self, session: Session) -> None:
        """With a seed, chance repeats itself."""
        hot: dict[str, Any] = {"temperature": 1.2, "top_k": 0, "top_p": 1.0, "seed": 11}
        assert self.ask(session, **hot).text == self.ask(session, **hot).text

    # --- usage ---------------------------------------------------------------------------------

    def test_usage_adds_up(self, session: Session) -> None:
        """Counts fit each other, the context and the prompt; a longer prompt has more tokens."""
        short = self.ask(session).usage
        longer = self.ask(session, f"{self.prompt} {self.prompt}").usage
        for usage in (short, longer):
            self._counts(usage, session)
            assert usage.tokens is None or usage.tokens > 0
        assert told(longer.prompt_tokens, "prompt_tokens") > told(short.prompt_tokens, "them")

    def test_timings_add_up(self, session: Session) -> None:
        """Prefill and decode are parts of the time that the answer took, in seconds."""
        started = perf_counter()
        usage = self.ask(session).usage
        whole = perf_counter() - started
        prefill = told(usage.prefill_seconds, "prefill_seconds")
        decode = told(usage.decode_seconds, "decode_seconds")
        for seconds in (prefill, decode):
            assert math.isfinite(seconds)
            assert seconds >= 0
        # Clocks of two processes or machines: rounded, never another unit.
        assert prefill + decode <= whole * 1.1 + 0.05

    def _counts(self, usage: Usage, session: Session) -> None:
        """Each count that is told, held against the others."""
        prompt, prefill, tokens = usage.prompt_tokens, usage.prefill_tokens, usage.tokens
        used, context = usage.context_used, usage.context
        assert prompt is None or prompt > 0
        assert tokens is None or tokens >= 0
        assert prefill is None or prompt is None or 0 <= prefill <= prompt
        assert context in (session.info.context, None)
        assert used is None or context is None or 0 < used <= context
        if prompt is not None and tokens is not None:
            assert used is None or used <= prompt + tokens
            # The last token of an answer needs no cell of the cache.
            assert context is None or usage.truncated or prompt + tokens <= context + 1

    # --- what an engine may not do -------------------------------------------------------------

    @pytest.mark.parametrize(
        ("prompt", "sampling"),
        [
            ("", Sampling(max_tokens=2)),
            ([], Sampling(max_tokens=2)),
            ([Message("nobody", "hello")], Sampling(max_tokens=2)),
            ([Message("user", "what is this?", (Path("none.png"),))], Sampling(max_tokens=2)),
            ("\0\x1b[2J\ud800", Sampling(max_tokens=2)),
            ("hello", Sampling(max_tokens=0)),
            ("hello", Sampling(max_tokens=2, temperature=-1.0)),
            ("hello", Sampling(max_tokens=2, temperature=math.nan)),
            ("hello", Sampling(max_tokens=2, top_k=-5, top_p=7.0, min_p=-1.0)),
            ("hello", Sampling(max_tokens=2, stop=("",))),
        ],
        ids=[
            "empty text",
            "no messages",
            "unknown role",
            "missing image",
            "control characters",
            "no tokens wanted",
            "negative temperature",
            "no temperature",
            "wrong top k and p",
            "empty stop text",
        ],
    )
    def test_only_backend_errors(
        self, session: Session, prompt: str | list[Message], sampling: Sampling
    ) -> None:
        """What makes no sense is answered or refused; nothing but a BackendError leaves."""
        with only_backend_errors(f"{prompt!r} with {sampling}"):
            read(session.generate(prompt, sampling))
        assert self.ask(session).text, "the session is usable afterwards"

    def test_nothing_is_printed(
        self, backend: Backend, model: Artifact, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Standard output stays empty. So does standard error, which is the log of an engine that
        runs in the worker process, and the user's terminal for all others."""
        capfd.readouterr()
        with backend.load(model, self.settings()) as session:
            self.ask(session)
        with pytest.raises(BackendError):
            backend.load(self.unknown_artifact(model), self.settings())
        out, err = capfd.readouterr()
        assert out == "", "a backend does not print"
        assert backend.in_process or err == "", "a backend does not print"
