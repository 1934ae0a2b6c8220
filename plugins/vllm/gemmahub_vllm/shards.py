"""What of a model's weights each GPU holds: split, or whole on each. Pure arithmetic; vLLM 0.33.0.

Sources: ``model_executor/models/gemma3.py``, ``gemma3n.py``, ``gemma4.py``, ``gemma4_mm.py``,
``siglip.py`` and ``model_executor/layers/linear.py`` of vllm-project/vllm@v0.33.0.

- Split between the GPUs of a stage: query, output and feed-forward matrices, experts, the token
  tables (rows, padded to 64), the projection of per-layer embeddings, Gemma 3's vision tower.
- Key and value matrices are split by heads, and copied where there are more GPUs than heads.
  Where values are made from the key weights, those are loaded twice (``k_eq_v``).
- Whole on each GPU: norms, routers, per-layer gates and projections, projectors, Gemma 4's towers.
- Every stage of a pipeline has the token tables; layers are on one stage only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.memory import MemoryArchitecture

_LAYER: Final = re.compile(r"(?:^|\.)layers\.([0-9]{1,6})\.")
_KEY, _VALUE = re.compile(r"\bk_proj\b"), re.compile(r"\bv_proj\b")
_SPLIT: Final = re.compile(
    r"\b(q_proj|o_proj|gate_proj|up_proj|down_proj|gate_up_proj|experts|embed_tokens"
    r"|embed_tokens_per_layer|lm_head|per_layer_model_projection|altup_projections"
    r"|altup_unembed_projections|linear_left|linear_right)\b"
)
_TOWER: Final = re.compile(r"\b(vision_tower|vision_model|audio_tower|vision_embedder)\b")
_SIGLIP: Final = re.compile(r"\bvision_tower\.vision_model\b")
_SPLIT_TOWER: Final = re.compile(r"\b(q_proj|k_proj|v_proj|out_proj|fc1|fc2)\b")
_NORM: Final = re.compile(r"norm")


@dataclass(frozen=True, slots=True)
class Shard:
    """Bytes of weights on one GPU of a stage: ``split`` is its share of what is divided, ``copied``
    what each GPU of the stage has."""

    split: int
    copied: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.split + self.copied


def shards(
    tensors: Iterable[tuple[str, int]],
    architecture: MemoryArchitecture,
    stages: Sequence[range],
    tp: int,
) -> tuple[Shard, ...]:
    """The weights of one GPU of each stage, from the names and bytes of a model's tensors."""
    split, copied = [0.0] * len(stages), [0.0] * len(stages)
    for name, size in tensors:
        share, copies = _share(name, architecture, tp)
        if not share:
            continue
        layer = None if _TOWER.search(name) else _LAYER.search(name)
        for stage, numbers in enumerate(stages):
            if layer is None or int(layer[1]) in numbers:
                (split if share < copies else copied)[stage] += size * share
    return tuple(Shard(round(s), round(c)) for s, c in zip(split, copied, strict=True))


def _share(name: str, architecture: MemoryArchitecture, tp: int) -> tuple[float, float]:
    """What of a tensor one GPU holds, as a multiple of the tensor, and how often it would be there
    in whole; (0, 0) for what is not loaded."""
    if _TOWER.search(name):
        parts = _SIGLIP.search(name) and _SPLIT_TOWER.search(name)
        return (1 / tp if parts else 1.0), 1.0
    found = _LAYER.search(name)
    number = int(found[1]) if found else -1
    layer = architecture.layers[number] if 0 <= number < len(architecture.layers) else None
    if layer is not None and not _NORM.search(name):
        is_key, is_value = bool(_KEY.search(name)), bool(_VALUE.search(name))
        if is_key or is_value:
            if not layer.owns_cache:
                return 0.0, 0.0  # the checkpoint may have them, nobody reads them
            times = 2.0 if is_key and not layer.has_value_weights else 1.0
            return times / min(tp, layer.kv_heads), times
    if _SPLIT.search(name) and not _NORM.search(name):
        return 1 / tp, 1.0
    return 1.0, 1.0
