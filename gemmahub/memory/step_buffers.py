"""The compute buffers of a step that several places share: accelerators, and the host beside them.

Source: ``llama_context`` (src/llama-context.cpp) and ``ggml_backend_sched_split_graph``
(ggml/src/ggml-backend.cpp) of ggml-org/llama.cpp@0c1e57098. Three things come to the buffer of a
step on one device:

- From a step of 32 tokens on, the first accelerator computes the layers and experts of the host,
  too: their weights are copied there, a few tensors at a time, and so are the keys and values of a
  cache on the host (``offload_op``).
- Several accelerators that hold all layers work on several steps at once: inputs are there four
  times, and so is what one hands to the next (``GGML_SCHED_MAX_COPIES``).
- The host keeps the embeddings that it looks up.

Upper bounds where something stays on the host: weights and keys are not copied in the same moment,
so the larger of both counts, on top of the whole buffer. benchmarks/README.md has the errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.memory.kv_cache import cache_cells, layer_cache_bytes
from gemmahub.memory.weight_sums import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory.architecture import MemoryArchitecture
    from gemmahub.memory.compute import ComputeBuffers
    from gemmahub.memory.settings import MemorySettings
    from gemmahub.memory.weight_sums import Weights

_OFFLOAD_FROM: Final = 32
_COPIES: Final = 4


@dataclass(frozen=True, slots=True)
class StepBuffers:
    """Bytes of the compute buffers of one plan by place; ``placement`` are the devices of the
    layers and, last, of the output, as ``weights.layer_devices`` has them."""

    architecture: MemoryArchitecture
    weights: Weights
    placement: Sequence[int]
    settings: MemorySettings
    compute: ComputeBuffers

    def on_accelerator(self, device: int) -> int:
        """What the accelerator of that number holds; 0 where it has no layer."""
        if device not in self.placement:
            return 0
        found = self.compute.compute_bytes
        if self._is_pipelined:
            found += (_COPIES - 1) * self.compute.input_bytes
            found += _COPIES * self._a_step(self._per_layer)
            if device != self.placement[0]:
                found += _COPIES * self._a_step(self.architecture.embedding_length)
        first = device == min(place for place in self.placement if place != HOST)
        weights = self._copied_weights() if first else 0
        return found + max(weights, self._copied_cache(device, first=first))

    @property
    def on_host(self) -> int:
        """What the host holds: the whole buffer where it computes layers or experts itself."""
        if all(device == HOST for device in self.placement):
            return self.compute.compute_bytes
        kept = HOST in self.placement or self.settings.cache_in_memory
        experts = self.weights.experts_on_host(self.placement, self.settings.experts_in_memory)
        if (kept or experts) and not self._is_offloaded:
            return self.compute.compute_bytes
        a = self.architecture
        found = self.compute.input_bytes * (_COPIES if self._is_pipelined else 1)
        found += self._a_step(a.embedding_length + self._per_layer)
        # New keys or values come back to a cache that lies here.
        return found + (self._a_step(max(s.key_width for s in a.shapes)) if kept else 0)

    @property
    def _per_layer(self) -> int:
        """Numbers of a token's per-layer embeddings."""
        return self.architecture.per_layer_embedding_length * len(self.architecture.layers)

    def _a_step(self, numbers: int) -> int:
        """Bytes of so many F32 numbers for each token of a step."""
        return 4 * numbers * self.settings.tokens_a_step

    @property
    def _is_pipelined(self) -> bool:
        s = self.settings
        whole = HOST not in self.placement and not s.cache_in_memory and not s.experts_in_memory
        return whole and len(set(self.placement)) > 1

    @property
    def _is_offloaded(self) -> bool:
        return self.settings.tokens_a_step >= _OFFLOAD_FROM

    def _copied_weights(self) -> int:
        """The largest tensor of a layer on the host; of experts both matrices, which overlap."""
        if not self._is_offloaded:
            return 0
        found = 0
        for number, device in enumerate(self.placement[:-1]):
            if device == HOST:
                found = max(found, self.weights.largest[number], self.weights.experts[number])
            elif number < self.settings.experts_in_memory:
                found = max(found, self.weights.experts[number])
        return found

    def _copied_cache(self, device: int, *, first: bool) -> int:
        """Keys and values that lie elsewhere and are read on the accelerator: those of one layer,
        and a copy for each layer without a cache of its own, which are computed in one go."""
        if len(set(self.placement)) == 1 and not self.settings.cache_in_memory:
            return 0
        cells = cache_cells(self.architecture, self.settings)
        sizes = layer_cache_bytes(self.architecture, self.settings, cells)
        owners: dict[str, tuple[int, int]] = {}
        alone = shared = 0
        for layer, place in zip(self.architecture.layers, self.placement, strict=False):
            if layer.owns_cache:
                lies = HOST if self.settings.cache_in_memory else place
                owners[layer.attention] = sizes[layer], lies
            size, lies = owners.get(layer.attention, (0, device))
            if lies == device:
                continue
            if place == device and not layer.owns_cache:
                shared += size
            elif place == device or (place == HOST and first and self._is_offloaded):
                alone = max(alone, size)
        return alone + shared * (_COPIES if self._is_pipelined else 1)
