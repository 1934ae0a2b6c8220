"""The keys and values of one conversation, in mlx-lm's own caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub_mlx.engine import MlxModules
    from gemmahub_mlx.memory import CacheFormat


class PromptCache:
    """A cache for each layer that has one, and the ``tokens`` whose keys and values are in them.

    Global layers have a cache that grows; layers with a sliding window one that rotates.
    """

    def __init__(self, library: MlxModules, model: Any, form: CacheFormat) -> None:
        self._library = library
        self._model = model
        self._form = form
        self.tokens: list[int] = []
        self.layers: list[Any] = self._make()

    @property
    def bytes(self) -> int:
        """Bytes that the caches hold now."""
        return sum(int(layer.nbytes) for layer in self.layers)

    @property
    def arrays(self) -> list[Any]:
        """What is to be evaluated after a step."""
        return [layer.state for layer in self.layers]

    def clear(self) -> None:
        """Empty the cache and give its memory back."""
        self.tokens = []
        self.layers = self._make()
        self._library.core.clear_cache()

    def keep_prefix(self, tokens: Sequence[int]) -> int:
        """How many leading tokens of a prompt need no computing; the cache then holds just those.

        Only a prompt that goes on where the cache ends keeps it: a window that has rotated cannot
        go back.
        """
        count = len(self.tokens)
        if count < len(tokens) and self.tokens == list(tokens[:count]):
            return count
        if count:
            self.clear()
        return 0

    def _make(self) -> list[Any]:
        """The model's own choice; growing caches in fewer bits where those were asked for.

        mlx-lm cannot quantise a rotating cache, so windows keep the model's own type.
        """
        library, form = self._library, self._form
        if self._model is None:
            return []  # closed
        made = library.cache.make_prompt_cache(self._model)
        if form.bits is None:
            return list(made)
        return [
            library.cache.QuantizedKVCache(group_size=form.group_size, bits=form.bits)
            if type(layer) is library.cache.KVCache
            else layer
            for layer in made
        ]

    def close(self) -> None:
        """Give all memory back."""
        self.tokens, self.layers = [], []
        self._model = None
        self._library.core.clear_cache()
