"""A loaded model that one can talk to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gemmahub.engines.prompt_tokens import encode
from gemmahub.engines.scoring_session import WindowScoringSession
from gemmahub.engines.thoughts import CLOSES, ThoughtLimit
from gemmahub.errors import BackendError, GenerationFailed
from gemmahub.text import one_line
from gemmahub_transformers.sampling import make_sampler
from gemmahub_transformers.scoring import TorchScorer
from gemmahub_transformers.steps import ModelSteps, Stopped

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from gemmahub.engines.contract import Prompt, Sampling, SessionInfo, Usage
    from gemmahub.engines.folder_tokenizer import Tokenizer
    from gemmahub_transformers.engine import TorchModules


class TransformersSession(WindowScoringSession):
    """One model and one conversation cache.

    A prompt that continues what is in the cache computes only what is new. A cancel is looked at
    between two tokens, and while a prompt is computed between two layers.
    """

    def __init__(
        self, library: TorchModules, model: Any, tokenizer: Tokenizer, info: SessionInfo
    ) -> None:
        super().__init__(info)
        if info.chat_template:
            self.renderer.prepare()
        self.tokenizer = tokenizer
        self._library = library
        self._prefilled = 0
        self.forward: ModelSteps | None = ModelSteps(library, model, self.cancelled)

    def encode(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt."""
        self._prefilled = 0
        return encode(self.tokenizer, prompt, self.renderer)

    def tokens(self, prompt: Sequence[Any], sampling: Sampling) -> Generator[bytes, None, None]:
        """The bytes of each next token, until the model ends its turn."""
        try:
            yield from self._tokens(list(prompt), sampling)
        except BackendError:
            raise
        except Stopped:
            self._forward.clear()
        except Exception as error:  # noqa: BLE001 - PyTorch raises RuntimeError and others
            self._forward.clear()  # what a failed step left there is of no known length
            raise self.failed(error) from None

    def _tokens(self, prompt: list[int], sampling: Sampling) -> Generator[bytes, None, None]:
        forward, sampler = self._forward, make_sampler(self._library, sampling)
        closing = self.tokenizer.tokenize(CLOSES, special=True, start=False)
        limit = ThoughtLimit(sampling.thinking, closing)
        start, step = forward.keep_prefix(prompt), self.info.settings.ubatch
        logits = None
        for first in range(start, len(prompt), step):
            if self.cancelled.is_set():
                return
            part = prompt[first : first + step]
            logits = forward.advance(part)
            self._prefilled += len(part)
        while True:
            token = sampler(logits)
            forced = limit.forced()
            token = token if forced is None else forced
            if self.tokenizer.is_end(token):
                return
            piece = self.tokenizer.piece(token, calls=bool(sampling.tools))
            limit.saw(piece)
            yield piece
            if len(forward.cached) >= self.context_size:
                return
            logits = forward.advance([token])

    def scorer(self) -> TorchScorer:
        """Scores with caches of its own."""
        forward = self._forward
        return TorchScorer(
            self._library.torch,
            self.tokenizer,
            forward.compute,
            forward.make_cache,
            self.info.settings.ubatch,
        )

    def failed(self, error: Exception) -> GenerationFailed:
        """What PyTorch raised."""
        if isinstance(error, Stopped):
            return GenerationFailed("scoring was stopped", "score the text again")
        what = f"PyTorch failed: {one_line(str(error), 300)}"
        if isinstance(error, self._library.torch.OutOfMemoryError):
            what = f"the GPU has no memory left: {one_line(str(error), 200)}"
        return GenerationFailed(
            what, "try a smaller --ctx-size or --ubatch, or a smaller variant of the model"
        )

    @property
    def _forward(self) -> ModelSteps:
        if self.forward is None:
            raise GenerationFailed("the session is closed", "load the model again")
        return self.forward

    def usage(self, counted: Usage) -> Usage:
        """With what came from the cache, and what is in it."""
        used = len(self.forward.cached) if self.forward is not None else 0
        return replace(counted, prefill_tokens=self._prefilled, context_used=used)

    def close(self) -> None:
        """Free the cache and the weights; twice is fine."""
        super().close()
        with self.lock:
            if self.forward is not None:
                self.forward.close()
                self.forward = None
