"""A loaded model that one can talk to, through the library's own ``Sampler``."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gemmahub.engines.prompt_tokens import encode
from gemmahub.engines.token_session import TokenSession
from gemmahub.errors import BackendError, GenerationFailed
from gemmahub.text import one_line
from gemmahub_jax.memory import prompt_lengths
from gemmahub_jax.sampling import method_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from gemmahub.engines.contract import Prompt, Sampling, SessionInfo
    from gemmahub_jax.engine import JaxModules
    from gemmahub_jax.tokenizer import PieceTokenizer

_NO_TOKEN = -1


@dataclass(frozen=True)
class EndTokens:
    """The numbers that the library's loop asks a tokenizer for; -1 is no token's number."""

    EOS: int
    END_OF_TURN: int
    BEGIN_OF_TOOL_RESPONSE: int = _NO_TOKEN
    PAD: int = 0


class TokenNumbers:
    """What the library's sampler takes for a tokenizer: numbers in, numbers out.

    Its own ones read control tokens wherever a text has them. ``prompt`` is set before each answer.
    """

    VERSION = 0
    FORMAT = None
    FORBIDDEN_TOKENS: tuple[int, ...] = ()

    def __init__(self, ends: Sequence[int]) -> None:
        first, last = (min(ends), max(ends)) if ends else (_NO_TOKEN, _NO_TOKEN)
        self.special_tokens = EndTokens(first, last)
        self.prompt: list[int] = []

    def encode(self, text: str, *, add_bos: bool = False) -> list[int]:
        """The tokens of the prompt, whatever the text."""
        return self.prompt

    def decode(self, tokens: Any) -> str:
        """The number of the token that was chosen."""
        return str(int(tokens))


class JaxSession(TokenSession):
    """A model in the memory of the device. Each answer computes its whole prompt.

    The prompt is padded to one of a few lengths, so that XLA compiles few programs: the first
    prompt of a longer kind, and the first answer with other sampling settings, wait for that.
    """

    def __init__(
        self,
        library: JaxModules,
        model: Any,
        params: Any,
        tokenizer: PieceTokenizer,
        info: SessionInfo,
    ) -> None:
        super().__init__(info)
        if info.chat_template:
            self.renderer.prepare()
        self.tokenizer = tokenizer
        self._library = library
        self._numbers = TokenNumbers(sorted(tokenizer.ends))
        self._sampler: Any = library.gm.text.Sampler(
            model=model,
            params=params,
            tokenizer=self._numbers,
            cache_length=self.context_size + 1,  # the library stops when one is left
            max_out_length=self.context_size + 1,
            pad_length=prompt_lengths(self.context_size),
        )

    def warm_up(self, sampling: Sampling) -> None:
        """Compile the shortest prompt and a step, so that the first answer does not wait for it.

        Raises: GenerationFailed, where the device has not the memory.
        """
        for _ in self._numbers_said([1], sampling, 1):
            pass
        gc.collect()  # what compiling leaves behind holds the caches of this answer

    def loaded_in(self, seconds: float) -> None:
        """Say how long the load took, with all that was compiled."""
        self.info = replace(self.info, load_seconds=seconds)

    def encode(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt."""
        return encode(self.tokenizer, prompt, self.renderer)

    def tokens(self, prompt: Sequence[Any], sampling: Sampling) -> Generator[bytes, None, None]:
        """The bytes of each next token, until the model ends its turn."""
        for number in self._numbers_said(list(prompt), sampling, sampling.max_tokens):
            if self.tokenizer.is_end(number):
                return
            yield self.tokenizer.piece(number)

    def close(self) -> None:
        """Free the weights; twice is fine."""
        super().close()
        with self.lock:
            self._sampler = None

    def _numbers_said(
        self, prompt: list[int], sampling: Sampling, most: int | None
    ) -> Generator[int, None, None]:
        self._numbers.prompt = prompt
        try:
            yield from self._sampled(sampling, min(most or self.context_size, self.context_size))
        except BackendError:
            raise
        except Exception as error:  # noqa: BLE001 - JAX raises XlaRuntimeError, TypeError and others
            raise GenerationFailed(
                f"JAX failed: {one_line(f'{type(error).__name__}: {error}', 300)}",
                "try a smaller --ctx-size, or a smaller variant of the model",
            ) from None

    def _sampled(self, sampling: Sampling, most: int) -> Generator[int, None, None]:
        rng = None if sampling.seed is None else sampling.seed % 2**31
        outputs = self._sampler.sample(
            "",
            max_new_tokens=most,
            stream=True,
            sampling=method_of(self._library, sampling),
            rng=rng,
            return_state=True,
        )
        for output in outputs:
            number = int(output.text)
            del output  # the state has a whole cache, and the next step makes another
            yield number
