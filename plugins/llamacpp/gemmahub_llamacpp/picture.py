"""A picture in a file, looked at before llama.cpp decodes it.

llama.cpp takes what is no picture for audio or video, and starts ffmpeg for that where it is there;
and a small file can be a picture of gigabytes. So kind and size are read from the first bytes here.
Formats: PNG (ISO/IEC 15948), JPEG (ITU-T T.81, B.2.2), GIF89a, BMP (BITMAPINFOHEADER); those and
others are what ``stb_image.h`` decodes, which is part of llama.cpp.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import GenerationFailed
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES: Final = 64 << 20
MOST_PIXELS: Final = 50_000_000
"""While one is decoded, up to 9 bytes a pixel are held (three copies of red, green and blue)."""

_FORMATS: Final = "PNG, JPEG, GIF and BMP"
_JPEG_NO_SIZE: Final = frozenset({0xC4, 0xC8, 0xCC})  # SOF numbers that are other markers
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of a file that is a picture; ``digest`` is their sha256."""

    name: str
    data: bytes
    digest: str


def read_picture(path: Path) -> Picture:
    """Read the file, whatever its name ends with.

    Raises: GenerationFailed when it cannot be read, is no picture, or is too large.
    """
    name = one_line(path.name, 80)
    try:
        if not path.is_file():
            raise GenerationFailed(
                f"there is no image {one_line(str(path))}", "choose another file"
            )
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise _too_large(name, format_bytes(size), format_bytes(MOST_BYTES))
        data = path.read_bytes()
    except OSError as error:
        raise GenerationFailed(
            f"the image {name} cannot be read: {error.strerror}", "choose another file"
        ) from None
    width, height = _size(name, data)
    if width * height > MOST_PIXELS:
        raise _too_large(name, f"{width:,} x {height:,} pixels", f"{MOST_PIXELS:,} pixels")
    return Picture(name, data, hashlib.sha256(data).hexdigest())


def damaged(name: str) -> GenerationFailed:
    """The error for a file that begins like a picture and is none."""
    return GenerationFailed(f"the image {name} is damaged", "save it again, as PNG or JPEG")


def _too_large(name: str, size: str, most: str) -> GenerationFailed:
    return GenerationFailed(
        f"the image {name} is too large: {size}, at most {most} are read",
        "scale it down: a model uses about a million pixels at most",
    )


def _size(name: str, data: bytes) -> tuple[int, int]:
    """Width and height. Raises: GenerationFailed."""
    try:
        found = _size_of(data)
    except (struct.error, IndexError):
        raise damaged(name) from None
    if found is None:
        raise _no_picture(name, data)
    if min(found) < 1:
        raise damaged(name)
    return found


def _size_of(data: bytes) -> tuple[int, int] | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    if data.startswith((b"GIF87a", b"GIF89a")):
        width, height = struct.unpack_from("<HH", data, 6)
        return width, height
    if data.startswith(b"BM"):
        (head,) = struct.unpack_from("<I", data, 14)
        width, height = struct.unpack_from("<HH" if head == 12 else "<ii", data, 18)
        return width, abs(height)
    return _jpeg_size(data) if data.startswith(b"\xff\xd8\xff") else None


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """From the frame header, which may stand behind a preview picture and colour tables."""
    place = 2
    while True:
        while data[place] == 0xFF:  # fill bytes
            place += 1
        marker = data[place]
        if 0xC0 <= marker <= 0xCF and marker not in _JPEG_NO_SIZE:
            height, width = struct.unpack_from(">HH", data, place + 4)
            return width, height
        place += 1
        if marker not in _JPEG_BARE:
            place += max(2, struct.unpack_from(">H", data, place)[0])
        if data[place] != 0xFF:
            raise IndexError("no marker")


def _no_picture(name: str, data: bytes) -> GenerationFailed:
    kind = ""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "WebP"
    elif data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"avif"):
        kind = "AVIF" if data[8:12] == b"avif" else "HEIC"
    if kind:
        return GenerationFailed(
            f"the image {name} is {kind}, which llama.cpp does not decode",
            "convert it to PNG or JPEG",
        )
    return GenerationFailed(f"{name} is not an image", f"{_FORMATS} are read")
