"""LoRA adapters as GGUF files: whether one fits a model, by the headers of both.

Follows ``src/llama-adapter.cpp`` of ggml-org/llama.cpp, which says less and only once the model is
loaded. A pair of matrices ``NAME.lora_a`` (columns of the weight, rank) and ``NAME.lora_b`` (rank,
rows of the weight) belongs to each weight that is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.errors import FormatError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.formats.reader import ModelFile
    from gemmahub.formats.tensor import Tensor

_PARTS: Final = (".lora_a", ".lora_b")
_TABLE: Final = "token_embd.weight"  # whose matrices are the other way round


def check_adapter(adapter: ModelFile, model: ModelFile) -> None:
    """Raises: FormatError for a file that is no LoRA adapter, or one for another model."""
    name = one_line(adapter.files[0].name)
    stated = adapter.metadata
    if stated.get("general.type") != "adapter" or stated.get("adapter.type") != "lora":
        raise FormatError(
            f"{name} is not a LoRA adapter", "choose a GGUF file that convert_lora_to_gguf.py wrote"
        )
    own, wanted = (one_line(str(m.metadata.get("general.architecture"))) for m in (adapter, model))
    if own != wanted:
        raise _of_another(name, f"it is for {own}, the model is {wanted}")
    weights = {tensor.name: tensor for tensor in model.tensors}
    pairs: dict[str, dict[str, Tensor]] = {}
    for tensor in adapter.tensors:
        stem, part = tensor.name[: -len(_PARTS[0])], tensor.name[-len(_PARTS[0]) :]
        pairs.setdefault(stem, {})[part] = tensor
    if not pairs:
        raise FormatError(f"{name} has no tensors", "download the adapter again")
    for stem, pair in pairs.items():
        if set(pair) != set(_PARTS):
            raise FormatError(
                f"{name} lacks one of the two matrices of {one_line(stem)}",
                "download the adapter again",
            )
        weight = weights.get(stem)
        if weight is None:
            raise _of_another(name, f"the model has no {one_line(stem)}")
        a, b = (pair[part].shape for part in _PARTS)
        if stem == _TABLE:
            a, b = b[::-1], a[::-1]
        if len(a) != 2 or len(b) != 2 or a[1] != b[0] or (a[0], b[1]) != weight.shape:
            raise _of_another(name, f"{one_line(stem)} has other sizes in the model")


def _of_another(name: str, why: str) -> FormatError:
    return FormatError(
        f"{name} is an adapter for another model: {why}", "use the model that it was trained on"
    )
