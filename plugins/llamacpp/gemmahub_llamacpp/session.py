"""A loaded model that one can talk to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gemmahub.engines.contract import SessionBase
from gemmahub.errors import ContextExceeded, GenerationFailed
from gemmahub_llamacpp.answer import Answer
from gemmahub_llamacpp.prompt import encode
from gemmahub_llamacpp.sampling import check_sampling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Chunk, Prompt, Sampling, SessionInfo
    from gemmahub_llamacpp.context import Context
    from gemmahub_llamacpp.model import Model


class LlamaCppSession(SessionBase):
    """One model and one conversation cache.

    One answer at a time: beginning a new one ends the one before, which then gives its last chunk
    as cancelled. A prompt that continues what is in the cache computes only what is new.
    """

    def __init__(self, model: Model, context: Context, info: SessionInfo) -> None:
        """Takes over the model and the context, and frees them in ``close``."""
        self.model = model
        self.context = context
        self.lock = threading.Lock()  # held while llama.cpp computes or is freed
        self.closed = False
        self.answer: Answer | None = None
        self._info = info

    @property
    def info(self) -> SessionInfo:
        """What was loaded."""
        return self._info

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer; the prompt is checked at once, computing begins with the first chunk.

        A cancel after this call stops this answer, also when no chunk was asked for yet.

        Raises: ContextExceeded, TemplateError, GenerationFailed.
        """
        check_sampling(sampling)
        self.context.resume()
        with self.lock:
            if self.closed:
                raise GenerationFailed("the session is closed", "load the model again")
            tokens = encode(self.model, prompt)
            self._check_length(len(tokens))
            self.answer = Answer(self, tokens, sampling)
            return self.answer.stream()

    def _check_length(self, count: int) -> None:
        size, trained = self.context.size, self.model.context_trained
        if count <= size:
            return
        wanted = -(-(count + 256) // 256) * 256  # room for an answer, as llama.cpp rounds it
        larger = trained is None or wanted <= trained
        raise ContextExceeded(
            f"the prompt has {count:,} tokens, the context holds {size:,}",
            f"shorten the prompt, or load the model with --ctx-size {wanted}"
            if larger
            else f"shorten the prompt: the model was trained for {trained:,} tokens",
        )

    def cancel(self) -> None:
        """Stop the running answer, also in the middle of a computation; from any thread."""
        self.context.abort()

    def close(self) -> None:
        """Free the cache and the weights; twice is fine. Stops a running answer first."""
        self.context.abort()
        with self.lock:
            self.closed = True
            self.context.close()
            self.model.close()
