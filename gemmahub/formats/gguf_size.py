"""How long a GGUF file will be that llama.cpp writes, byte for byte.

Source: ``gguf_get_meta_size`` and ``gguf_write_to_buf`` of ``ggml/src/gguf.cpp``; tensors are
padded to 32 bytes (``GGUF_DEFAULT_ALIGNMENT``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gemmahub.formats.gguf import GgufFile
    from gemmahub.formats.tensor import Tensor

_HEAD: Final = 24  # magic, version, two counts
_ALIGNMENT: Final = 32
_SPLIT: Final = {"split.no": 2, "split.count": 2, "split.tensors.count": 4}  # bytes of each value


def written_size(
    parts: Sequence[GgufFile], tensors: Iterable[Tensor], metadata: Mapping[str, str | int]
) -> int | None:
    """Bytes of a file with these tensors and the metadata of the first of ``parts``, in which the
    entries of ``metadata`` replace others or are added; None where a tensor's size is not known.
    """
    first = parts[0]
    entries = first.header_bytes - _HEAD - _entries(first.tensors)
    for key, size in _SPLIT.items():
        entries -= _key(key) + size if key in first.metadata else 0
    for key, value in metadata.items():
        old = first.metadata.get(key)
        if isinstance(old, str | int):
            entries -= _key(key) + _value(old)
        entries += _key(key) + _value(value)
    whole = _padded(_HEAD + entries + sum(_entries(part.tensors) for part in parts))
    for tensor in tensors:
        if tensor.bytes is None:
            return None
        whole += _padded(tensor.bytes)
    return whole


def _entries(tensors: Iterable[Tensor]) -> int:
    """Bytes of the table of tensors."""
    return sum(24 + len(tensor.name.encode()) + 8 * len(tensor.shape) for tensor in tensors)


def _key(key: str) -> int:
    """A key, and the type of its value."""
    return 8 + len(key.encode()) + 4


def _value(value: str | int) -> int:
    return 8 + len(value.encode()) if isinstance(value, str) else 4


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
