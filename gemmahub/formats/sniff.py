"""What a file looks like that is not the model file it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gemmahub.errors import FormatError, GemmahubError, IntegrityError
from gemmahub.formats.source import INCOMPLETE_HINT
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.formats.source import ByteSource

HEAD_BYTES: Final = 256
GGUF_MAGIC: Final = b"GGUF"
# Above this the reference reader of safetensors refuses a header.
MAX_SAFETENSORS_HEADER: Final = 100_000_000

_OTHER_MODEL: Final = "gemmahub reads GGUF and safetensors: look for the model in one of these."
_OLD_GGML: Final = "Convert it to GGUF with a current llama.cpp, or fetch a GGUF of the model."


class _Look(NamedTuple):
    """A beginning (bytes, offset), what files that have it are, and what to do about them."""

    magic: bytes
    offset: int
    what: str
    hint: str


_LOOKS: Final = (
    _Look(GGUF_MAGIC, 0, "a GGUF file", "Open it as a GGUF file."),
    _Look(
        b"version https://git-lfs.github.com/spec/",
        0,
        "a Git LFS pointer: a text in place of a file that was not downloaded",
        "Run `git lfs pull` in its repository, or fetch the file itself.",
    ),
    _Look(b"# xet version", 0, "a Xet pointer, not the file itself", "Fetch the file itself."),
    _Look(
        b"PK\x03\x04",
        0,
        "a zip archive, such as a PyTorch checkpoint or a MediaPipe .task file",
        _OTHER_MODEL,
    ),
    _Look(b"tjgg", 0, "a GGML file from before GGUF", _OLD_GGML),
    _Look(b"fmgg", 0, "a GGML file from before GGUF", _OLD_GGML),
    _Look(b"lmgg", 0, "a GGML file from before GGUF", _OLD_GGML),
    _Look(b"algg", 0, "a GGML adapter from before GGUF", _OLD_GGML),
    _Look(b"LITERTLM", 0, "a LiteRT-LM model", _OTHER_MODEL),
    _Look(b"TFL3", 4, "a LiteRT (TensorFlow Lite) model", _OTHER_MODEL),
    _Look(b"\x89HDF", 0, "an HDF5 file, such as Keras weights", _OTHER_MODEL),
    _Look(b"\x93NUMPY", 0, "a NumPy array", _OTHER_MODEL),
    _Look(b"\x80\x02", 0, "a Python pickle, such as an old PyTorch checkpoint", _OTHER_MODEL),
    _Look(b"\x1f\x8b", 0, "a gzip archive", "Unpack it first."),
    _Look(b"\x28\xb5\x2f\xfd", 0, "a zstd archive", "Unpack it first."),
    _Look(b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive", "Unpack it first."),
    _Look(b"\x7fELF", 0, "a program", "Name a model file."),
    _Look(b"MZ", 0, "a Windows program", "Name a model file."),
)
_HTML_HINT: Final = (
    "A server sent a page in place of the file, often because the model asks for a login or for "
    "accepting its licence: do that, then fetch it again."
)


def looks_like_safetensors(head: bytes) -> bool:
    """Whether ``head`` begins as a safetensors file does: a header length, then JSON."""
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= MAX_SAFETENSORS_HEADER and head[8:9] == b"{"


def look_of(head: bytes) -> tuple[str, str]:
    """What a file that begins with ``head`` is, and what to do about it; ``""`` if unknown."""
    for look in _LOOKS:
        if head.startswith(look.magic, look.offset):
            return look.what, look.hint
    if looks_like_safetensors(head):
        return "a safetensors file", "Open it as a safetensors file."
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "a web page", _HTML_HINT
    if text.startswith((b"{", b"[")):
        return "a JSON text, such as a server's error message", "Fetch the file again."
    if text and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head):
        return f'a text that begins "{_beginning(head)}"', "Fetch the file again."
    return "", ""


def not_a_model(source: ByteSource, expected: str) -> GemmahubError:
    """The error for a source that does not begin as ``expected`` ("a GGUF file") does.

    :class:`IntegrityError` where it may still be one: empty, or zeros that a download has not
    filled yet; :class:`FormatError` otherwise.
    """
    name = one_line(source.name)
    head = source.read(0, min(HEAD_BYTES, source.size))
    if not head:
        return IntegrityError(f"{name} is empty", INCOMPLETE_HINT)
    if not any(head):
        return IntegrityError(
            f"{name} begins with {len(head)} zero bytes: its download is incomplete",
            INCOMPLETE_HINT,
        )
    what, hint = look_of(head)
    seen = f"it is {what}" if what else f"it begins with the bytes {head[:8].hex(' ')}"
    hint = hint or "Check that it is the file you mean, then fetch it again."
    return FormatError(f"{name} is not {expected}: {seen}", hint)


def _beginning(head: bytes) -> str:
    return one_line(head.decode(errors="replace"), 40)
