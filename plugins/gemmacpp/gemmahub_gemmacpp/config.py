"""The configuration of a model, the blob ``config`` of a single-file ``.sbs``.

Source: google/gemma.cpp gemma/configs.h@0224dcbd, ``ModelConfig::VisitFields`` and
``LayerConfig::VisitFields``: fields are only ever added at the end. What is not needed here is read
over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from gemmahub.text import one_line
from gemmahub_gemmacpp.fields import Fields, Words
from gemmahub_gemmacpp.weight_types import type_name

WRAPPINGS: Final = ("it", "pt", "vlm", "pg")
"""``enum class PromptWrapping``: what the program puts around a prompt."""
_FAMILY: Final = re.compile(r"[a-z]+\d*")


@dataclass(frozen=True, slots=True)
class SbsLayer:
    """One layer, in numbers of weights; ``shares`` is the layer whose cache it uses, or None.

    ``window`` is how many tokens it looks back.
    """

    model_dim: int
    ff_hidden_dim: int
    heads: int
    kv_heads: int
    qkv_dim: int
    shares: int | None
    window: int = 0

    @property
    def cache_width(self) -> int:
        """Numbers that its cache has for each token; 0 for one without a cache of its own."""
        return 0 if self.shares is not None else 2 * self.kv_heads * self.qkv_dim


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the file says of the model; ``wrapping`` is one of :data:`WRAPPINGS` or ""."""

    version: int
    display_name: str
    wrapping: str
    weight: str
    num_layers: int
    model_dim: int
    vocab_size: int
    max_seq_len: int
    layers: tuple[SbsLayer, ...]

    @property
    def family(self) -> str:
        """The architecture as other formats call it: the beginning of the display name, without
        signs; "" where there is no name."""
        match = _FAMILY.match(self.display_name.casefold().replace("-", "").replace(" ", ""))
        return match[0] if match else ""

    @property
    def takes_turns(self) -> bool:
        """Whether the program puts a prompt into a turn of a conversation."""
        return self.wrapping in ("it", "vlm")

    @property
    def window(self) -> int | None:
        """How far the layers look back that do not see the whole context."""
        short = [layer.window for layer in self.layers if 0 < layer.window < self.max_seq_len]
        return max(short, default=None)

    def metadata(self) -> dict[str, Any]:
        """The same under the names of GGUF."""
        name = self.family
        values: dict[str, Any] = {
            "general.architecture": name,
            "general.name": one_line(f"{self.display_name} {self.wrapping}".strip(), 80),
            f"{name}.block_count": self.num_layers,
            f"{name}.embedding_length": self.model_dim,
            f"{name}.context_length": self.max_seq_len,
            f"{name}.vocab_size": self.vocab_size,
        }
        if self.window:
            values[f"{name}.attention.sliding_window"] = self.window
        if self.layers:
            first = self.layers[0]
            values |= {
                f"{name}.feed_forward_length": first.ff_hidden_dim,
                f"{name}.attention.head_count": first.heads,
                f"{name}.attention.head_count_kv": first.kv_heads,
                f"{name}.attention.key_length": first.qkv_dim,
            }
        return {key: value for key, value in values.items() if value != ""}


def read_config(content: bytes, name: str) -> ModelConfig:
    """The configuration in the blob's bytes; ``name`` is the file's.

    Raises: IntegrityError.
    """
    words = Words(content, f"the configuration of {one_line(name)}")
    fields = Fields(words)
    version = fields.number(1)
    display_name = fields.text()
    _model, wrapping, weight = fields.number(), fields.number(1), fields.number()
    num_layers, model_dim = fields.number(), fields.number()
    vocab_size, max_seq_len = fields.number(), fields.number()
    fields.number()  # unused_num_tensor_scales
    fields.real(), fields.real()  # att_cap, final_cap
    fields.number(), fields.number(), fields.number()  # absolute_pe, unused, query_scale
    layers = fields.items(lambda: _layer(words))
    windows = fields.items(fields.number)
    if len(layers) > num_layers or len(windows) > num_layers:
        raise words.damaged(f"it has {num_layers} layers and describes {len(layers)}")
    return ModelConfig(
        version=version,
        display_name=one_line(display_name, 60),
        wrapping=WRAPPINGS[wrapping] if wrapping < len(WRAPPINGS) else "",
        weight=type_name(weight),
        num_layers=num_layers,
        model_dim=model_dim,
        vocab_size=vocab_size,
        max_seq_len=max_seq_len,
        layers=tuple(_looking(layers, windows)),
    )


def _looking(layers: list[SbsLayer], windows: list[int]) -> list[SbsLayer]:
    from dataclasses import replace

    padded = [*windows, *[0] * (len(layers) - len(windows))]
    return [
        replace(layer, window=window)
        for layer, window in zip(layers, padded[: len(layers)], strict=True)
    ]


def _layer(words: Words) -> SbsLayer:
    fields = Fields(words)
    model_dim, _griffin = fields.number(), fields.number()
    ff_hidden_dim, heads, kv_heads, qkv_dim = (fields.number() for _ in range(4))
    for _ in range(12):  # from unused_conv1d_width to num_experts_per_datapoint
        fields.number()
    fields.number()  # ple_dim
    shares = fields.signed(-1)
    fields.finish()
    own = None if shares < 0 else shares
    return SbsLayer(model_dim, ff_hidden_dim, heads, kv_heads, qkv_dim, own)
