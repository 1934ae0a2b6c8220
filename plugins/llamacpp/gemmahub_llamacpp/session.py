"""A loaded model that one can talk to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gemmahub.engines.contract import DeviceUse, FinishReason
from gemmahub.engines.prompt_tokens import encode_with_images
from gemmahub.engines.scoring_session import ScoringSession, windows_asked
from gemmahub.engines.thoughts import CLOSES, ThoughtLimit
from gemmahub.errors import ContextExceeded, GenerationFailed
from gemmahub_llamacpp.context import Status
from gemmahub_llamacpp.grammar import grammar_of
from gemmahub_llamacpp.sampling import token_sampler

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from gemmahub.engines.contract import (
        Chunk,
        Prompt,
        PromptRead,
        Sampling,
        ScoredText,
        SessionInfo,
        Usage,
    )
    from gemmahub_llamacpp.context import Context
    from gemmahub_llamacpp.model import LlamaModel
    from gemmahub_llamacpp.scoring import LlamaScorer
    from gemmahub_llamacpp.vision import Vision


class LlamaCppSession(ScoringSession):
    """One model and one conversation cache.

    One answer at a time: beginning a new one ends the one before, which then gives its last chunk
    as cancelled. A prompt that continues what is in the cache computes only what is new.

    An image is as many positions of a prompt as it takes of the context; in the cache it is told
    from others by the sha256 of its file.
    """

    def __init__(
        self,
        model: LlamaModel,
        context: Context,
        vision: Vision,
        info: SessionInfo,
        scorer: LlamaScorer,
    ) -> None:
        """Takes over all but ``info``, and frees them in ``close``."""
        super().__init__(replace(info, images=vision.problem is None))
        if info.chat_template:
            self.renderer.prepare()
        self.model = model
        self.context = context
        self.vision = vision
        self._scorer = scorer
        self._prefilled = 0

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer; the prompt is checked at once, computing begins with the first chunk.

        A cancel after this call stops this answer, also when no chunk was asked for yet.

        Raises: ContextExceeded, TemplateError; GenerationFailed, also for a schema that cannot be
        made into a grammar.
        """
        self.context.resume()
        sampling = replace(sampling, schema=None, grammar=grammar_of(sampling))
        return super().generate(prompt, sampling)

    def score_at(
        self,
        text: str,
        first: int = 0,
        at: Sequence[Sequence[Sequence[int]]] = (),
        window: int = 512,
        top: int = 0,
    ) -> Iterator[ScoredText]:
        """As ``score``, of some windows, with the tokens that are named. A cancel after this call
        stops it, also in the middle of a window.

        Raises: ContextExceeded, GenerationFailed; LoadFailed without memory for the logits.
        """
        self.check_window(window)
        with self.lock:
            if self._closed:
                raise GenerationFailed("the session is closed", "load the model again")
            self._scorer.resume()
            count = self._scorer.count(text, window)
        return self._scored(windows_asked(count, first, at), window, top, at)

    def _scored(
        self, numbers: range, window: int, top: int, at: Sequence[Sequence[Sequence[int]]]
    ) -> Iterator[ScoredText]:
        for number in numbers:
            with self.lock:
                if self._closed:
                    raise GenerationFailed("the session was closed", "load the model again")
                found = self._scorer.score(
                    number, window, top, at[number - numbers[0]] if at else ()
                )
            yield found

    def load_projector(self) -> None:
        """Load the image projector now, not with the first image.

        Raises: BackendError when there is none, or it cannot be loaded.
        """
        self.vision.load()
        self._count_projector()

    def encode(self, prompt: Prompt) -> list[Any]:
        """The tokens of a prompt, and the positions of its images."""
        self._prefilled = 0
        loaded = self.vision.loaded
        try:
            return encode_with_images(self.model, prompt, self.vision, self.renderer)
        finally:  # also when the image is none: the projector is there now
            if self.vision.loaded and not loaded:
                self._count_projector()

    def tokens(
        self, prompt: Sequence[Any], sampling: Sampling
    ) -> Generator[bytes | PromptRead, None, FinishReason]:
        """The bytes of each next token, and before them how far a long prompt is; why it ended is
        returned."""
        context, model = self.context, self.model
        limit = ThoughtLimit(sampling.thinking, model.tokenize(CLOSES, special=True, start=False))
        with token_sampler(sampling, model.vocab) as sampler:
            new = prompt[context.keep_prefix(prompt) :]
            status = yield from self.vision.prefill(new, len(prompt))
            if status is Status.FULL:
                raise ContextExceeded(
                    f"the prompt of {len(prompt):,} tokens does not fit the cache",
                    "load the model with a larger --ctx-size",
                )
            if status is Status.DONE:
                self._prefilled = len(new)
            while status is Status.DONE:
                token = limit.forced()
                token = sampler.sample(context) if token is None else token
                if model.is_end(token):
                    return FinishReason.STOP
                piece = model.piece(token, calls=bool(sampling.tools))
                limit.saw(piece)
                yield piece
                status = context.advance(token)
        return FinishReason.CONTEXT if status is Status.FULL else FinishReason.CANCELLED

    def usage(self, counted: Usage) -> Usage:
        """With what came from the cache, and what is in it."""
        used = len(self.context.cached)
        return replace(counted, prefill_tokens=self._prefilled, context_used=used)

    def cancel(self) -> None:
        """Stop the running answer, also in the middle of a computation; from any thread."""
        super().cancel()
        self.context.abort()
        self._scorer.abort()

    def close(self) -> None:
        """Free the cache and the weights; twice is fine. Stops a running answer first."""
        super().close()
        self.context.abort()
        self._scorer.abort()
        with self.lock:
            self._scorer.close()
            self.vision.close()
            self.context.close()
            self.model.close()

    def _count_projector(self) -> None:
        """Say what the projector takes, besides the rest."""
        if self.info.memory is None:
            return
        more = self.vision.memory()
        uses = {use.device: use for use in self.info.memory}
        for device, size in more.items():
            uses[device] = replace(uses.get(device, DeviceUse(device)), projector_bytes=size)
        self.info = replace(self.info, memory=tuple(uses.values()))
