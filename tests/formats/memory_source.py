"""Bytes in memory for the readers of file formats, which read from a source."""

from __future__ import annotations

from gemmahub.formats.source import check_range


class MemorySource:
    """Bytes in memory as a source."""

    def __init__(self, data: bytes, name: str = "bytes in memory") -> None:
        self.name = name
        self.size = len(data)
        self._data = data

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; :class:`IntegrityError` at the end."""
        check_range(self, offset, length)
        return self._data[offset : offset + length]
