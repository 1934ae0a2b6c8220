"""Importance matrices: how much each input of a matrix counts, as llama.cpp's tools write them.

Sources: ``common/imatrix-loader.cpp``, ``tools/quantize/quantize.cpp`` (``load_imatrix``) and
``tools/imatrix/imatrix.cpp`` of ggml-org/llama.cpp@0c1e57098.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GemmahubError, LoadFailed
from gemmahub.formats.gguf import GgufFile, read_gguf
from gemmahub.formats.source import LocalFile

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

SUMS: Final = ".in_sum2"
COUNTS: Final = ".counts"


def read_importance(path: Path) -> dict[str, NDArray[np.float32]]:
    """Mean squares of inputs, by the name of the tensor that they are multiplied with.

    Raises: LoadFailed for a file that is no importance matrix, or one of no use.
    """
    import numpy as np

    try:
        with LocalFile(path) as source:
            file = read_gguf(source)
            sums = _tensors(file, source, SUMS)
            counts = _tensors(file, source, COUNTS)
    except GemmahubError as error:
        raise LoadFailed(
            f"the importance matrix cannot be read: {error.message}",
            "use one in GGUF format: llama-imatrix writes it, and so does `--imatrix make`",
        ) from None
    found = {}
    for name, values in sums.items():
        if (times := counts.get(name)) is None or values.size % times.size:
            raise LoadFailed(f"the importance matrix {path.name} has no counts for {name}")
        rows = values.reshape(times.size, -1)
        seen = times.reshape(-1, 1)
        # An expert that no token went to counts as all others do.
        mean = np.where(seen > 0, rows / np.maximum(seen, 1), np.float32(1)).astype(np.float32)
        if not np.isfinite(mean).all():
            raise LoadFailed(f"the importance matrix {path.name} has no numbers for {name}")
        found[name] = np.ascontiguousarray(mean.reshape(-1))
    if not found:
        raise LoadFailed(
            f"{path.name} is not an importance matrix",
            "llama-imatrix makes one, or `--imatrix make`",
        )
    return found


def _tensors(file: GgufFile, source: Any, end: str) -> dict[str, NDArray[np.float32]]:
    """The tensors whose names have an end, by the rest of their name."""
    import numpy as np

    found = {}
    for tensor, offset in zip(file.tensors, file.offsets, strict=True):
        if tensor.name.endswith(end) and tensor.type == "F32":
            raw = source.read(file.data_offset + offset, tensor.bytes or 0)
            found[tensor.name.removesuffix(end)] = np.frombuffer(raw, np.float32)
    return found
