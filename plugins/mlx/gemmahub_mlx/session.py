"""A loaded model that one can talk to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gemmahub.engines.contract import PromptRead
from gemmahub.engines.prompt_tokens import encode
from gemmahub.engines.scoring_session import WindowScoringSession
from gemmahub.engines.thoughts import CLOSES, ThoughtLimit
from gemmahub.errors import BackendError, GenerationFailed
from gemmahub.text import one_line
from gemmahub_mlx.sampling import make_sampler
from gemmahub_mlx.scoring import MlxScorer

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from gemmahub.engines.contract import Prompt, Sampling, SessionInfo, Usage
    from gemmahub.engines.folder_tokenizer import Tokenizer
    from gemmahub_mlx.cache import PromptCache
    from gemmahub_mlx.engine import MlxModules


class MlxSession(WindowScoringSession):
    """One model and one conversation cache.

    A prompt that continues what is in the cache computes only what is new. A cancel is looked at
    between two tokens and between two steps of a prompt; MLX cannot be stopped inside of one.
    ``limit`` is MLX's memory limit while a prompt is computed, in bytes; None leaves its own.
    """

    def __init__(
        self,
        library: MlxModules,
        model: Any,
        tokenizer: Tokenizer,
        cache: PromptCache,
        info: SessionInfo,
        limit: int | None = None,
    ) -> None:
        super().__init__(info)
        if info.chat_template:
            self.renderer.prepare()
        self.cache = cache
        self.tokenizer = tokenizer
        self._library = library
        self._model = model
        self._limit = limit
        self._prefilled = 0

    def encode(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt."""
        self._prefilled = 0
        return encode(self.tokenizer, prompt, self.renderer)

    def tokens(
        self, prompt: Sequence[Any], sampling: Sampling
    ) -> Generator[bytes | PromptRead, None, None]:
        """The bytes of each next token, until the model ends its turn; before them how far a long
        prompt is."""
        try:
            yield from self._tokens(list(prompt), sampling)
        except BackendError:
            raise
        except Exception as error:  # noqa: BLE001 - MLX raises ValueError, RuntimeError and others
            self.cache.clear()  # what a failed step left there is of no known length
            raise _failed(error) from None

    def scorer(self) -> MlxScorer:
        """Scores with caches of its own."""
        return MlxScorer(self._library, self._model, self.tokenizer)

    def failed(self, error: Exception) -> GenerationFailed:
        """What MLX raised."""
        return _failed(error)

    def close(self) -> None:
        """Free the cache and the weights; twice is fine."""
        super().close()
        with self.lock:
            if self._model is not None:
                self._model = None
                self.cache.close()

    def _tokens(
        self, prompt: list[int], sampling: Sampling
    ) -> Generator[bytes | PromptRead, None, None]:
        core, sampler = self._library.core, make_sampler(self._library.core, sampling)
        closing = self.tokenizer.tokenize(CLOSES, special=True, start=False)
        limit = ThoughtLimit(sampling.thinking, closing)
        if not (yield from self._prefill(prompt)):
            return
        last = sampler(self._step(prompt[-1:]))
        self._prefilled += 1
        core.async_eval(last)
        said = 0
        while True:
            said += 1
            following = None
            if len(self.cache.tokens) < self.context_size and said != sampling.max_tokens:
                # Begun before this one is read, so that the device does not wait for Python.
                following = sampler(self._step(last))
                core.async_eval(following)
            token = int(last.item())
            if following is not None:
                self.cache.tokens.append(token)
            if self.tokenizer.is_end(token):
                return
            piece = self.tokenizer.piece(token, calls=bool(sampling.tools))
            limit.saw(piece)
            yield piece
            if following is None:
                return
            forced = limit.forced()
            last = following if forced is None else core.array([forced])

    def _prefill(self, prompt: list[int]) -> Generator[PromptRead, None, bool]:
        """All of a prompt but its last token; False when it was cancelled. Tells after each step
        but the last how much is read."""
        start = self.cache.keep_prefix(prompt)
        core, end = self._library.core, len(prompt) - 1
        own_limit = core.set_memory_limit(self._limit) if self._limit is not None else None
        try:
            while start < end:
                if self.cancelled.is_set():
                    return False
                part = prompt[start : min(start + self.info.settings.ubatch, end)]
                self._step(part)
                core.eval(self.cache.arrays)
                core.clear_cache()
                start += len(part)
                self._prefilled += len(part)
                if start < end:
                    yield PromptRead(start, len(prompt))
        finally:
            if own_limit is not None:
                core.set_memory_limit(own_limit)
        return True

    def _step(self, tokens: Any) -> Any:
        """Logits after the last of some tokens, shape (1, words). Nothing is evaluated yet."""
        core = self._library.core
        if isinstance(tokens, list):
            self.cache.tokens += tokens
            tokens = core.array(tokens)
        return self._model(tokens[None], cache=self.cache.layers)[:, -1]

    def usage(self, counted: Usage) -> Usage:
        """With what came from the cache, and what is in it."""
        used = len(self.cache.tokens)
        return replace(counted, prefill_tokens=self._prefilled, context_used=used)


def _failed(error: Exception) -> GenerationFailed:
    return GenerationFailed(
        f"MLX failed: {one_line(str(error), 300)}",
        "try a smaller --ctx-size, or a smaller variant of the model",
    )
