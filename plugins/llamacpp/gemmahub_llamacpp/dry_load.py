"""What llama.cpp would allocate for a model: a load of the header alone, and what it reports.

Exact: cells, weights, KV cache, output buffer. The log has them in MiB with two decimals; as the
size of a row is known, only one number of bytes fits. Compute buffers are rounded to 0.01 MiB
(5,243 bytes) for each device.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import DryLoad, Settings
from gemmahub.errors import GemmahubError, LoadFailed
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.gguf_values import ArrayRef
from gemmahub.formats.source import LocalFile
from gemmahub_llamacpp.context import Context
from gemmahub_llamacpp.engine import engine_name, library, log
from gemmahub_llamacpp.model import LlamaModel
from gemmahub_llamacpp.report import (
    CPU,
    Report,
    ReportedCache,
    device_uses,
    missing,
    output_bytes,
    read_report,
)
from gemmahub_llamacpp.settings import context_settings, in_effect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gemmahub.formats.tensor import Tensor

_LONGEST_NAME: Final = 64  # of an architecture; llama.cpp takes overrides of keys up to 127 bytes
_BLOCK: Final = re.compile(r"blk\.(\d+)\.")
_EXPERTS: Final = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps")
_INPUT: Final = ("token_embd.", "per_layer_token_embd.")
_FIRST_LAYER: Final = ("per_layer_model_proj.", "per_layer_proj_norm.", "rope_freqs.")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What is asked of llama.cpp while the model is there."""

    settings: Settings
    weights_bytes: int
    words: int


def measure(
    path: Path,
    files: Sequence[Path],
    settings: Settings,
    devices: Sequence[int] | None = None,
    name: str = "",
) -> DryLoad:
    """Load the header of ``path``, of a split model the first of ``files``, and report. Errors call
    it by its ``name``.

    ``settings`` are checked and have their options, ``devices`` are as LlamaModel has them.

    Raises: LoadFailed when llama.cpp refuses the header or the settings, or reports too little.
    """
    library()
    with log.keep_all() as messages:
        loaded = _load(path, settings, devices, name)
    report = read_report(text.decode("utf-8", "replace") for text in messages)
    if set(report.layers.values()) == {CPU}:
        weights: Mapping[str, int] = {CPU: loaded.weights_bytes}
    else:
        kept = settings.experts_in_memory or 0
        weights = weights_by_device(_tensors(files), report.layers, kept)
    return _answer(report, loaded.settings, weights, output_bytes(report, loaded.words))


def _load(path: Path, settings: Settings, devices: Sequence[int] | None, name: str) -> _Loaded:
    model = LlamaModel(
        path,
        name=name,
        gpu_layers=settings.gpu_layers or 0,
        dry=True,
        overrides=_without_words(path),
        devices=devices,
        tensor_split=settings.tensor_split,
        experts_in_memory=settings.experts_in_memory or 0,
    )
    try:
        chosen = context_settings(settings, model.context_trained)
        context = Context(model, chosen)
        used = in_effect(settings, context, chosen)
        context.close()
        return _Loaded(used, model.size_bytes, model.words)
    finally:
        model.close()


def _without_words(path: Path) -> dict[str, int | str]:
    """Overrides that leave the tokenizer out: it takes no memory here, but most of the time.

    Empty where the header cannot be read: llama.cpp then says what is wrong with it.
    """
    try:
        with LocalFile(path) as source:
            metadata = read_gguf(source).metadata
    except (GemmahubError, OSError):
        return {}
    words, name = metadata.get("tokenizer.ggml.tokens"), metadata.get("general.architecture")
    if not isinstance(words, ArrayRef) or not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return {}
    size = f"{name}.vocab_size"
    return {"tokenizer.ggml.model": "no_vocab", size: words.length}


def _tensors(files: Iterable[Path]) -> list[Tensor]:
    found: list[Tensor] = []
    try:
        for path in files:
            with LocalFile(path) as source:
                found += read_gguf(source).tensors
    except GemmahubError as error:
        raise LoadFailed(error.message, error.hint) from None
    return found


def weights_by_device(
    tensors: Sequence[Tensor], layers: Mapping[int, str], experts_in_memory: int = 0
) -> dict[str, int]:
    """Bytes of weights by device; ``layers`` are the devices by layer, the last of the output. Of
    the first ``experts_in_memory`` layers the experts are the processor's.

    What is looked up by token stays with the CPU. A model without output weights multiplies with
    its embedding, of which the output's device then has a copy.
    """
    found: Counter[str] = Counter()
    output = layers[max(layers)]
    tied = not any(tensor.name == "output.weight" for tensor in tensors)
    for tensor in tensors:
        if tensor.bytes is None:
            raise missing(f"the bytes of {tensor.type} weights")
        block = _BLOCK.match(tensor.name)
        if block and int(block[1]) not in layers:
            raise missing(f"the device of layer {block[1]}")
        if block:
            number = int(block[1])
            kept = number < experts_in_memory and _EXPERTS.search(tensor.name)
            device = CPU if kept else layers[number]
        elif tensor.name.startswith(_FIRST_LAYER):
            device = layers[0]
        else:
            device = CPU if tensor.name.startswith(_INPUT) else output
        found[device] += tensor.bytes
        if tied and output != CPU and tensor.name == "token_embd.weight":
            found[output] += tensor.bytes
    return dict(found)


def _answer(
    report: Report, settings: Settings, weights: Mapping[str, int], output: Mapping[str, int]
) -> DryLoad:
    caches = report.caches
    of_global, of_window = (
        caches.get(kind, ReportedCache(0, 0, {})) for kind in ("global", "window")
    )
    return DryLoad(
        engine=engine_name(),
        settings=replace(settings, flash_attention=report.flash_attention),
        context=settings.context or 0,
        kv_cache_bytes=of_global.bytes + of_window.bytes,
        kv_cache_global_bytes=of_global.bytes,
        kv_cache_window_bytes=of_window.bytes,
        cells_global=of_global.cells,
        cells_window=of_window.cells,
        compute_bytes=report.compute.total(),
        output_bytes=sum(output.values()),
        weights_bytes=sum(weights.values()),
        flash_attention=report.flash_attention,
        devices=device_uses(report, weights, output),
    )
