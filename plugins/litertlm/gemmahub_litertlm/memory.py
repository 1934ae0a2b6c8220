"""What LiteRT-LM takes of a machine's memory, here or on a phone, out of the bundle itself.

- Weights: the TFLite sections, which are mapped from the file.
- Repacked: XNNPACK keeps the matrices once more in its own order on a processor; embeddings, which
  are looked up, stay as they are. The system can then drop the mapped ones.
- Caches: the inputs ``kv_cache_*`` of the signature decode, one set. Their shapes are fixed when a
  model is exported: a shorter context takes no less.
- Compute: the most bytes of a signature's graph that are needed at one time, in the order of its
  operators. The real buffers are planned by TFLite and XNNPACK, and are rather larger.
- Output: the logits of a token.

Measured with litert-lm-api 0.18.1 on a processor with models of the tests (tests/test_memory.py):
caches of 64 and 128 MiB made the process grow by 64.3 and 128.4 MiB, a matrix of 23.5 MiB by
23.7 MiB. No published model was measured, and no GPU and no phone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

from gemmahub.formats.reader import MOST_TENSORS
from gemmahub_litertlm.flatbuffer import I8, U32, FlatTable, FlatView, root_of

if TYPE_CHECKING:
    from gemmahub.formats.source import ByteSource
    from gemmahub_litertlm.reader import BundleModel

_BYTES: Final = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1, 10: 8, 15: 4, 16: 2, 18: 2}
_LOOKED_UP: Final = ("token_embd.", "per_layer_token_embd.")
_NOT_FOR_TEXT: Final = ("v.", "a.", "mm.", "drafter.")


@dataclass(frozen=True, slots=True)
class BundleMemory:
    """Bytes by part."""

    weights_bytes: int
    repack_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    output_bytes: int


def plan(source: ByteSource, model: BundleModel) -> BundleMemory:
    """The memory of a bundle that is loaded for text. Raises: IntegrityError."""
    compute = output = weights = 0
    for section in model.bundle.sections:
        if section.kind == "weights":
            weights += section.end - section.begin
        if section.kind != "tflite" or section.begin == section.end:
            continue
        weights += section.end - section.begin
        if not section.model_type.startswith(("vision", "audio", "end_of", "mtp")):
            view = FlatView(source, section.begin, section.end, section.model_type)
            peak, logits = _graphs(view)
            compute, output = max(compute, peak), max(output, logits)
    caches = sum(cache.bytes for cache in model.caches)
    matrices = sum(
        tensor.bytes or 0
        for tensor in model.tensors
        if not tensor.name.startswith((*_LOOKED_UP, *_NOT_FOR_TEXT)) and len(tensor.shape) > 1
    )
    return BundleMemory(weights, matrices, caches, compute, output)


def _graphs(view: FlatView) -> tuple[int, int]:
    """The peak of the largest signature, and the bytes of the logits."""
    root = root_of(view, b"TFL3")
    peaks, logits = [0], 0
    graphs = list(root.tables(2, 1024))
    for graph in graphs:
        peaks.append(_peak(view, graph))
    for signature in root.tables(7, 1024):
        number = signature.number(4, U32)
        if signature.text(2) != "decode" or number >= len(graphs):
            continue
        places = graphs[number].places(0, MOST_TENSORS)
        for entry in signature.tables(1, MOST_TENSORS):
            index = entry.number(1, U32)
            if entry.text(0) == "logits" and index < len(places):
                logits = _size(FlatTable(view, places[index]))
    return max(peaks), logits


def _peak(view: FlatView, graph: FlatTable) -> int:
    """The most bytes of computed tensors that are needed at one time; inputs, outputs and constants
    are others' to count."""
    places = graph.places(0, MOST_TENSORS)
    given = {*graph.numbers(1, "i", MOST_TENSORS), *graph.numbers(2, "i", MOST_TENSORS)}
    steps = [
        (op.numbers(1, "i", MOST_TENSORS), op.numbers(2, "i", MOST_TENSORS))
        for op in graph.tables(3, 8 * MOST_TENSORS)
    ]
    last = {index: number for number, (inputs, _) in enumerate(steps) for index in inputs}
    live: dict[int, int] = {}
    most = total = 0
    for number, (inputs, outputs) in enumerate(steps):
        for index in outputs:
            if index not in given and 0 <= index < len(places):
                size = _size(FlatTable(view, places[index]))
                total += size - live.get(index, 0)
                live[index] = size
        most = max(most, total)
        for index in inputs:
            if last[index] == number:
                total -= live.pop(index, 0)
    return most


def _size(tensor: FlatTable) -> int:
    shape = tensor.numbers(0, "i", 16)
    return _BYTES.get(tensor.number(1, I8), 4) * prod(max(1, length) for length in shape)
