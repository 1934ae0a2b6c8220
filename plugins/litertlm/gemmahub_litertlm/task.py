"""``.task`` bundles, the form before ``.litertlm``: a ZIP file of stored entries.

Source: google-ai-edge/LiteRT-LM runtime/executor/litert_compiled_model_executor_utils.cc@058fd0eb
(``TF_LITE_PREFILL_DECODE``) and runtime/util/model_asset_bundle_resources.cc. Entries are stored as
they are, so that they can be mapped; one that is packed is no model.
"""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING, Final

from gemmahub.errors import IntegrityError
from gemmahub.formats.source import INCOMPLETE_HINT
from gemmahub.text import one_line
from gemmahub_litertlm.bundle import Bundle, BundleSection

if TYPE_CHECKING:
    from gemmahub.formats.source import ByteSource

MAGIC: Final = b"PK\x03\x04"
_TFLITE: Final = "TF_LITE_"
_KINDS: Final = {"TOKENIZER_MODEL": "sentencepiece", "METADATA": "metadata"}
_MOST_ENTRIES: Final = 1024
_DIRECTORY: Final = 1024 * 1024
_LOCAL: Final = struct.Struct("<4s22xHH")


def begins_as_task(beginning: bytes) -> bool:
    """Whether a file begins with an entry of such a bundle, and not of any ZIP file."""
    if len(beginning) < _LOCAL.size or not beginning.startswith(MAGIC):
        return False
    length = _LOCAL.unpack_from(beginning)[1]
    name = beginning[_LOCAL.size : _LOCAL.size + length].decode("ascii", "replace")
    return name in _KINDS or name.startswith(_TFLITE)


def read_task(source: ByteSource) -> Bundle:
    """The entries as sections. Raises: IntegrityError."""
    name = one_line(source.name)
    try:
        with zipfile.ZipFile(_File(source)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, EOFError) as error:
        what = f"{name} has no valid directory: {one_line(str(error), 80)}"
        raise IntegrityError(what, INCOMPLETE_HINT) from None
    if len(entries) > _MOST_ENTRIES:
        raise IntegrityError(f"{name} has {len(entries):,} entries", INCOMPLETE_HINT)
    return Bundle("task", {}, tuple(_section(source, entry) for entry in entries))


def _section(source: ByteSource, entry: zipfile.ZipInfo) -> BundleSection:
    name = one_line(entry.filename, 80)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise IntegrityError(f"{name} is packed: it is not a model bundle", INCOMPLETE_HINT)
    magic, name_length, extra = _LOCAL.unpack(source.read(entry.header_offset, _LOCAL.size))
    begin = entry.header_offset + _LOCAL.size + name_length + extra
    if magic != MAGIC or begin + entry.file_size > source.size:
        raise IntegrityError(f"{name} ends outside the file", INCOMPLETE_HINT)
    is_model = entry.filename.startswith(_TFLITE)
    kind = "tflite" if is_model else _KINDS.get(entry.filename, "data")
    about = {"model_type": entry.filename.lower()} if is_model else {"name": name}
    return BundleSection(kind, begin, begin + entry.file_size, about)


class _File(io.RawIOBase):
    """A source as a file, of which no more than a directory is read in one go."""

    def __init__(self, source: ByteSource) -> None:
        self._source, self._at = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the file")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._source.size - self._at)
        length = left if size is None or size < 0 else min(size, left)
        if length > _DIRECTORY:
            raise ValueError("its directory is larger than any model's")
        content = self._source.read(self._at, length)
        self._at += length
        return content
