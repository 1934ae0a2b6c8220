"""What the numbers of a model may be, and where each limit comes from.

A header is a stranger's: its numbers end up in loops and products. They are compared with this
table once, where a header or a ``config.json`` becomes a record; everything behind that may count
on it. Limits named ``LLAMA_MAX_...`` are those of ``src/llama-hparams.h`` in ggml-org/llama.cpp
@0c1e57098 (llama-cpp-python 0.3.36), which ends the process at a larger number. Where the engine
has no limit, ours lies far above every published model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.memory.families import drafts_for, embeds
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.memory.architecture import MemoryArchitecture

MOST_LAYERS: Final = 512
"""The most layers that llama.cpp takes (``LLAMA_MAX_LAYERS``)."""

_MOST_TOKENS: Final = 1 << 24
_WIDEST: Final = 1 << 20
_WORDS: Final = "no published vocabulary comes near: Gemma has 262,144 words"
_TOKENS: Final = "the longest published context has 10,485,760 tokens"
_WIDTH: Final = "the widest published layer has 53,248"
_HEADS: Final = "the most published heads are 128 of 576 numbers"
_LAYERS: Final = "llama.cpp's LLAMA_MAX_LAYERS"
_EXPERTS: Final = "llama.cpp's LLAMA_MAX_EXPERTS"


class OutOfRange(Exception):
    """A number of a file that cannot be; the text says which, and what it may be."""


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the largest value, and whose limit that is."""

    lowest: int
    highest: int
    source: str

    def __contains__(self, value: object) -> bool:
        """Whether ``value`` is a whole number in this range; bools and floats are none."""
        return type(value) is int and self.lowest <= value <= self.highest


RANGES: Final[dict[str, Range]] = {
    "layers": Range(1, MOST_LAYERS, _LAYERS),
    "shared_kv_layers": Range(0, MOST_LAYERS, _LAYERS),
    "pattern_period": Range(0, MOST_LAYERS, _LAYERS),
    "embedding_length": Range(1, _WIDEST, _WIDTH),
    "embedding_length_out": Range(0, _WIDEST, _WIDTH),
    "feed_forward_length": Range(0, _WIDEST, _WIDTH),
    "per_layer_embedding_length": Range(0, _WIDEST, _WIDTH),
    "expert_feed_forward_length": Range(0, _WIDEST, _WIDTH),
    "vocabulary": Range(1, 1 << 24, _WORDS),
    "context_length": Range(0, _MOST_TOKENS, _TOKENS),
    "sliding_window": Range(0, _MOST_TOKENS, _TOKENS),
    "heads": Range(0, 1 << 16, _HEADS),
    "kv_heads": Range(0, 1 << 16, _HEADS),
    "key_length": Range(0, 1 << 16, _HEADS),
    "value_length": Range(0, 1 << 16, _HEADS),
    "experts": Range(0, 1024, _EXPERTS),
    "experts_used": Range(0, 1024, _EXPERTS),
}
"""By field of :class:`MemoryArchitecture` and :class:`LayerShape`, and what they are made of.

0 stands for what a model does not have or does not say. Lengths and widths are numbers of weights.
"""


def whole(value: Any, field: str, key: str) -> int:
    """``value`` where it is a whole number that ``field`` may have.

    ``key`` is what the file calls it. Raises :class:`OutOfRange`.
    """
    if value in (limits := RANGES[field]):
        found: int = value
        return found
    wanted = "" if value is None else f", not {_said(limits)}"
    raise OutOfRange(f"{one_line(key, 80)} is {shown(value)}{wanted}")


def shown(value: Any) -> str:
    """A value of a file for a message: short, whatever it is."""
    if value is None:
        return "missing"
    if type(value) is int and abs(value) < 1 << 64:
        return f"{value:,}"
    if isinstance(value, str | int | float):
        return one_line(repr(value), 40)
    return "of another kind"


def _said(limits: Range) -> str:
    return f"a whole number from {limits.lowest:,} to {limits.highest:,} ({limits.source})"


def check(architecture: MemoryArchitecture) -> None:
    """Whether each number of a record is in its range, and whether they agree with each other.

    Raises :class:`OutOfRange`.
    """
    a = architecture
    whole(len(a.layers), "layers", "the number of layers")
    for field, value in _numbers(architecture):
        whole(value, field, field)
    # llama.cpp ends the process at these (load_hparams, src/llama-model.cpp).
    if a.experts_used > a.experts:
        raise OutOfRange(f"{a.experts_used:,} experts are used of {a.experts:,}")
    if a.experts and not a.experts_used:
        raise OutOfRange(f"none of its {a.experts:,} experts is used")
    owners = sum(layer.owns_cache for layer in a.layers)
    if owners < min(2, len(a.layers)) and not embeds(a.name) and not drafts_for(a.name):
        # A layer without a cache of its own uses that of one of the last two that have one.
        raise OutOfRange(f"{owners} of {len(a.layers)} layers have a cache of their own")


def _numbers(architecture: MemoryArchitecture) -> Iterator[tuple[str, Any]]:
    for record in (architecture, *architecture.shapes):
        for field in RANGES:
            value = getattr(record, field, None)
            if field != "layers" and value is not None:
                yield field, value
