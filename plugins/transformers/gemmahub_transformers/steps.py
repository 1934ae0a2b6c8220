"""The steps of a model: tokens in, logits out, keys and values in Transformers' own cache."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from gemmahub_transformers.engine import TorchModules


class Stopped(Exception):
    """A computation was stopped between two layers, because of a cancel."""


class ModelSteps:
    """A model with the cache of one conversation; ``cached`` are the tokens that are in it.

    The cache is Transformers' ``DynamicCache``: layers with a sliding window keep the window alone.
    Computing more than one token stops between two layers once ``cancelled`` is set.
    """

    def __init__(self, library: TorchModules, model: Any, cancelled: threading.Event) -> None:
        self._library = library
        self._model = model
        self._cancelled = cancelled
        self._stoppable = False
        # Versions before 5.24 call it past_key_values.
        known = inspect.signature(model.forward).parameters
        self._cache_name = "cache" if "cache" in known else "past_key_values"
        self._device = model.device
        self.cached: list[int] = []
        self.cache: Any = self.make_cache()
        for layer in getattr(model.get_decoder(), "layers", ()):
            layer.register_forward_pre_hook(self._look)

    def make_cache(self) -> Any:
        """An empty cache of the model's kind."""
        if self._model is None:
            return None  # closed
        config = self._model.config.get_text_config(decoder=True)
        return self._library.transformers.DynamicCache(config=config)

    def clear(self) -> None:
        """Empty the cache and give its memory back."""
        self.cached = []
        self.cache = self.make_cache()
        if self._device.type == "cuda":
            self._library.torch.cuda.empty_cache()

    def keep_prefix(self, tokens: Sequence[int]) -> int:
        """How many leading tokens of a prompt need no computing; the cache then holds just those.

        A prompt that goes on where the cache ends keeps it; one that leaves it earlier does until a
        window is full, which cannot go back. The last token is always computed: its logits are
        wanted.
        """
        most = min(len(self.cached), len(tokens) - 1)
        same = next((n for n in range(most) if self.cached[n] != tokens[n]), most)
        if same == len(self.cached):
            return same
        if same and all(map(_goes_back, self.cache.layers)):
            self.cache.crop(same - len(self.cached))
            self.cached = self.cached[:same]
            return same
        self.clear()
        return 0

    def advance(self, tokens: list[int]) -> Any:
        """Logits after the last of some tokens, shape (words,); the tokens go into the cache."""
        logits = self.compute(tokens, self.cache, 1)[-1]
        self.cached += tokens
        return logits

    def compute(self, tokens: list[int], cache: Any, rows: int) -> Any:
        """Logits after the last ``rows`` tokens, shape (rows, words).

        Raises: Stopped; what PyTorch raises.
        """
        torch = self._library.torch
        self._stoppable = len(tokens) > 1
        with torch.inference_mode():
            ids = torch.tensor([tokens], device=self._device)
            found = self._model(
                input_ids=ids,
                use_cache=True,
                logits_to_keep=rows,
                return_dict=True,
                **{self._cache_name: cache},
            )
            return found.logits[0]

    def close(self) -> None:
        """Give all memory back."""
        self._model = None
        self.clear()

    def _look(self, *_: Any) -> None:
        if self._stoppable and self._cancelled.is_set():
            raise Stopped


def _goes_back(layer: Any) -> bool:
    """Whether tokens can be taken from the end of a layer's cache."""
    if getattr(layer, "is_sliding", False):
        return bool(layer.get_seq_length() < layer.sliding_window)
    return bool(getattr(layer, "is_croppable", True))
