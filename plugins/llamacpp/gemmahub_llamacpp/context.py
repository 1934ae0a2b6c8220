"""The state of one conversation: KV cache, the tokens in it, and the calls that compute."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from gemmahub.engines.contract import PromptRead
from gemmahub.errors import GenerationFailed, LoadFailed
from gemmahub_llamacpp.engine import assign, library, log

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from gemmahub_llamacpp.model import LlamaModel


class Status(IntEnum):
    """What ``llama_decode`` returns, as far as it is no error."""

    DONE = 0
    FULL = 1
    ABORTED = 2


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """How a context is made; ``cells`` and ``ubatch`` in tokens, types as ``enum ggml_type``.

    ``outputs_max``: rows of logits that a batch may ask for, 0 for one for each of its tokens.
    """

    cells: int
    ubatch: int
    type_k: int
    type_v: int
    flash_attention: bool
    threads: int
    swa_full: bool = False
    outputs_max: int = 1
    cache_on_gpu: bool = True


class Context:
    """A KV cache and its computations. One thread at a time; only ``abort`` comes from any thread.

    ``cached`` is what has its keys and values in the cache: tokens, and whatever equals itself only
    for the positions of images. ``size`` is how many fit.
    """

    def __init__(self, model: LlamaModel, settings: ContextSettings) -> None:
        """Raises: LoadFailed when llama.cpp refuses the settings or has no memory for them."""
        self._llama = library()
        # llama.cpp asks after each node of its graph, 700 times a token, whether to stop. A Python
        # function would need the interpreter lock each time, and an exception that a signal raises
        # in it (Ctrl-C) would be lost. strlen of this buffer gives the same answer without Python:
        # 0 or 1, which every calling convention returns where a bool is looked for.
        self._flag = ctypes.create_string_buffer(2)
        self._callback = _native_callback(self._llama)
        log.clear()
        self.handle: Any = self._llama.llama_init_from_model(model.handle, self._params(settings))
        if not self.handle:
            raise LoadFailed(
                f"llama.cpp cannot make a context of {settings.cells:,} tokens: "
                f"{log.errors() or 'not enough memory'}",
                "try a smaller --ctx-size, or --cache-type q8_0",
            )
        self.size: int = self._llama.llama_n_ctx(self.handle)
        self.cached: list[Any] = []
        self._batch: int = self._llama.llama_n_batch(self.handle)
        self.ubatch: int = self._llama.llama_n_ubatch(self.handle)
        self._tokens = (self._llama.llama_token * self._batch)()
        self._outputs = (ctypes.c_int8 * self._batch)()
        self._one = self._make_batch(1, None)  # no flags: the last token of a batch gives logits

    def _params(self, settings: ContextSettings) -> Any:
        params = self._llama.llama_context_default_params()
        assign(
            params,
            n_ctx=settings.cells,
            # As large as a ubatch, no larger: between two batches a GPU can be stopped, too.
            n_batch=settings.ubatch,
            n_ubatch=settings.ubatch,
            n_seq_max=1,
            # Usually 1: a row for each token of a batch would be 262,144 words each.
            n_outputs_max=settings.outputs_max,
            n_threads=settings.threads,
            n_threads_batch=settings.threads,
            flash_attn_type=int(settings.flash_attention),
            type_k=settings.type_k,
            type_v=settings.type_v,
            swa_full=settings.swa_full,
            offload_kqv=settings.cache_on_gpu,
            abort_callback=self._callback,
            abort_callback_data=ctypes.addressof(self._flag),
        )
        return params

    def _make_batch(self, count: int, outputs: Any) -> Any:
        return self._llama.llama_batch(n_tokens=count, token=self._tokens, logits=outputs)

    # --- stopping ------------------------------------------------------------------------------

    def abort(self) -> None:
        """Make the running and all later computations stop at once, until ``resume``."""
        self._flag[0] = b"\1"

    def resume(self) -> None:
        """Take back ``abort``."""
        self._flag[0] = b"\0"

    @property
    def aborted(self) -> bool:
        """Whether ``abort`` was called."""
        return self._flag[0] != b"\0"

    def close(self) -> None:
        """Free the cache; twice is fine."""
        handle, self.handle = self.handle, None
        self.cached.clear()
        if handle:
            self._llama.llama_free(handle)

    # --- computing -----------------------------------------------------------------------------

    def clear(self) -> None:
        """Empty the cache."""
        self.cached.clear()
        self._llama.llama_memory_clear(self._llama.llama_get_memory(self.handle), False)

    def keep_prefix(self, tokens: Sequence[Any]) -> int:
        """How many leading tokens of a prompt need no computing; the cache then holds just those.

        Only a prompt that goes on where the cache ends keeps it. Cutting the cache back to a common
        beginning is not possible for layers with a sliding window, which have overwritten what lay
        before; and the last token computed alone gives other last digits than within its batch, so
        the same prompt could get another answer.
        """
        count = len(self.cached)
        if count < len(tokens) and self.cached == list(tokens[:count]):
            return count
        self.clear()
        return 0

    def prefill(self, tokens: Sequence[int], total: int) -> Generator[PromptRead, None, Status]:
        """Append the tokens to the cache; logits are computed for the last one only. Tells after
        each batch but the last how much of the ``total`` is in the cache.

        Raises: GenerationFailed. After anything but DONE the cache is empty.
        """
        for start in range(0, len(tokens), self._batch):
            part = list(tokens[start : start + self._batch])
            self._tokens[: len(part)] = part
            self._outputs[len(part) - 1] = start + len(part) == len(tokens)
            status = self._decode(self._make_batch(len(part), self._outputs))
            self._outputs[len(part) - 1] = 0
            if status is not Status.DONE:
                return status
            self.cached += part
            if start + len(part) < len(tokens):
                yield PromptRead(len(self.cached), total)
        return Status.DONE

    def compute(self, tokens: Sequence[int], outputs: range) -> Status:
        """Append tokens, no more than a batch; those at the places ``outputs`` get their logits.

        Raises: GenerationFailed. After anything but DONE the cache is empty.
        """
        self._tokens[: len(tokens)] = list(tokens)
        for place in outputs:
            self._outputs[place] = 1
        try:
            status = self._decode(self._make_batch(len(tokens), self._outputs))
        finally:
            for place in outputs:
                self._outputs[place] = 0
        if status is Status.DONE:
            self.cached += tokens
        return status

    def logits(self, rows: int, words: int) -> Any:
        """The logits of the last computation, as llama.cpp has them: an array of numpy's of that
        shape, whose numbers the next computation replaces."""
        import numpy as np

        return np.ctypeslib.as_array(self._llama.llama_get_logits(self.handle), (rows, words))

    def append(self, positions: Sequence[Any], compute: Callable[[Any, int], int]) -> Status:
        """Append what is no token. ``compute`` gets llama.cpp's context and the first position, and
        returns what ``llama_decode`` would; it is not called when the answer was stopped.

        Raises: GenerationFailed. After anything but DONE the cache is empty.
        """
        if self.aborted:
            return self._stopped(Status.ABORTED)
        result = compute(self.handle, len(self.cached))
        if result != Status.DONE:
            return self._stopped(result)
        self.cached += positions
        return Status.DONE

    def advance(self, token: int) -> Status:
        """Append one token and compute its logits.

        Raises: GenerationFailed. After anything but DONE the cache is empty.
        """
        self._tokens[0] = token
        status = self._decode(self._one)
        if status is Status.DONE:
            self.cached.append(token)
        return status

    def _decode(self, batch: Any) -> Status:
        if self.aborted:
            return self._stopped(Status.ABORTED)
        result = self._llama.llama_decode(self.handle, batch)
        return Status.DONE if result == 0 else self._stopped(result)

    def _stopped(self, result: int) -> Status:
        # llama.cpp takes back only the last ubatch: what is left would be of no known length.
        self.clear()
        if result in (Status.FULL, Status.ABORTED):
            return Status(result)
        raise GenerationFailed(
            f"llama.cpp failed with code {result}: {log.errors() or 'it gave no reason'}",
            "try a smaller --ctx-size; with a GPU, fewer --gpu-layers",
        )

    def sample(self, sampler: Any) -> int:
        """The next token, by a sampler chain of llama.cpp."""
        return int(self._llama.llama_sampler_sample(sampler, self.handle, -1))


def _native_callback(llama_cpp: Any) -> Any:
    libc = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    return llama_cpp.ggml_abort_callback(ctypes.cast(libc.strlen, ctypes.c_void_p).value)
