"""Text from standard input: whole, bounded, decoded by what it says of itself or refused."""

from __future__ import annotations

import codecs
import os
import stat
import sys
from contextlib import suppress
from typing import Final

from gemmahub.cli import output
from gemmahub.errors import UsageError
from gemmahub.text import format_bytes

MOST_BYTES: Final = 64 << 20
_PATIENCE: Final = 1.0  # seconds without a byte, after which a person is told what is waited for
_MARKS: Final = (  # the longer ones first: that of UTF-16 begins that of UTF-32
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS: Final = (
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "an audio, video or image file (RIFF)"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"GGUF", "a model file"),
    (b"SQLite format 3", "a database"),
)
_SAMPLE: Final = 4096


def is_piped() -> bool:
    """Whether a file or a program stands behind standard input, and no terminal and no null."""
    with suppress(OSError, ValueError):  # a stream of a script, without a descriptor
        mode = os.fstat(sys.stdin.fileno()).st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)
    return False


def read_text() -> str:
    """All of standard input, without the line ends at its end.

    Raises: UsageError for what is no text, or more than MOST_BYTES.
    """
    source = getattr(sys.stdin, "buffer", None)
    if source is None:  # a stream of text
        return sys.stdin.read().rstrip("\r\n")
    _tell_that_it_waits()
    content = source.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UsageError(
            f"standard input has more than {format_bytes(MOST_BYTES)}", "use a part of it"
        )
    return decode(content).rstrip("\r\n")


def decode(content: bytes) -> str:
    """The text of bytes that have a byte order mark, are UTF-8 or are UTF-16.

    Raises: UsageError for others, with what they are.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    encoding = encoding or _utf_16_without_mark(content) or "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_text(content, encoding, error) from None
    if "\0" in text:
        raise UsageError(f"standard input is not text: it is {_kind(content)}", _hint())
    return text.replace("\r\n", "\n")


def _utf_16_without_mark(content: bytes) -> str | None:
    """UTF-16 of a text that is mostly Latin letters has a zero in every second byte."""
    sample = content[:_SAMPLE]
    half = len(sample) // 2
    if len(content) % 2 or not half or any(content.startswith(mark) for mark, _ in _KINDS):
        return None
    odd, even = sample[1::2].count(0), sample[::2].count(0)
    if min(odd, even) or max(odd, even) < 0.4 * half:
        return None
    return "utf-16-le" if odd else "utf-16-be"


def _not_text(content: bytes, encoding: str, error: UnicodeDecodeError) -> UsageError:
    if encoding != "utf-8":
        return UsageError(
            f"standard input is {encoding.upper()} that ends early, at byte {error.start:,}",
            "pipe all of it",
        )
    kind = _kind(content)
    if kind != "binary data":
        return UsageError(f"standard input is not text: it is {kind}", _hint())
    found = f"byte {error.start:,} is 0x{content[error.start]:02X}"
    return UsageError(
        f"standard input is not UTF-8 ({found}): it looks like {_single_byte(content)}",
        f"iconv -f {_single_byte(content)} -t UTF-8 FILE | gemmahub ...",
    )


def _kind(content: bytes) -> str:
    """What bytes that are no text are; "binary data" where that is not known."""
    return next((kind for mark, kind in _KINDS if content.startswith(mark)), "binary data")


def _single_byte(content: bytes) -> str:
    """Windows-1252 uses bytes for quotes and dashes that Latin-1 has for controls."""
    controls = any(0x80 <= byte < 0xA0 for byte in content)
    return "WINDOWS-1252" if controls else "ISO-8859-1"


def _hint() -> str:
    return "pipe in its text; use --image FILE for an image"


def _tell_that_it_waits() -> None:
    """A script that left its standard input open would hang without a word."""
    import select

    with suppress(OSError, ValueError):  # Windows waits for sockets only
        if not select.select([sys.stdin], [], [], _PATIENCE)[0]:
            output.note("reading standard input (use </dev/null if there is none)")
