"""LoRA adapters: checked by their headers, loaded beside the model, and set on its context."""

from __future__ import annotations

import ctypes
from math import isfinite
from typing import TYPE_CHECKING, Any

from gemmahub.errors import FormatError, IntegrityError, LoadFailed
from gemmahub.text import one_line
from gemmahub_llamacpp.engine import library, log
from gemmahub_llamacpp.model import bytes_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Adapter
    from gemmahub_llamacpp.context import Context
    from gemmahub_llamacpp.model import LlamaModel


def load_adapters(path: Path, model: LlamaModel, adapters: Sequence[Adapter]) -> list[Any]:
    """llama.cpp's pointers to the adapters of the model in a file; they are freed with the model.

    A context that is to use them has to be made afterwards: its graph is larger.

    Raises: LoadFailed for one that is not there, or of another model.
    """
    from gemmahub.formats.adapter import check_adapter
    from gemmahub.formats.detect import open_model

    loaded = []
    for adapter in adapters:
        name = one_line(adapter.path.name, 80)
        if not adapter.path.is_file():
            raise LoadFailed(f"there is no adapter {one_line(str(adapter.path))}", "choose another")
        if not isfinite(adapter.scale):
            raise LoadFailed("the scale of an adapter is not a number", "write it as 0.5")
        try:
            check_adapter(open_model(adapter.path), open_model(path))
        except (FormatError, IntegrityError) as error:
            raise LoadFailed(error.message, error.hint) from None
        log.clear()
        found = library().llama_adapter_lora_init(model.handle, bytes_of(adapter.path))
        if not found:
            reason = log.errors() or "it gave no reason"
            raise LoadFailed(
                f"llama.cpp cannot load {name}: {reason}", "download the adapter again"
            )
        loaded.append(found)
    return loaded


def use_adapters(context: Context, loaded: Sequence[Any], adapters: Sequence[Adapter]) -> None:
    """Let a context compute with them. Raises: LoadFailed."""
    if not loaded:
        return
    llama = library()
    pointers = (llama.llama_adapter_lora_p_ctypes * len(loaded))(*loaded)
    scales = (ctypes.c_float * len(loaded))(*(adapter.scale for adapter in adapters))
    if llama.llama_set_adapters_lora(context.handle, pointers, len(loaded), scales) != 0:
        raise LoadFailed("llama.cpp refuses these adapters", "leave out --adapter")
