"""What a page may say to its UI, and how that travels: Textual's web protocol, with limits.

A page sends JSON lists, the kind first; the UI process (Textual's web driver) reads and writes
packets: a letter, the size in four bytes, big-endian, and that many bytes.
"""

from __future__ import annotations

import json
from typing import Any, Final

MAX_COLUMNS: Final = 1000
MAX_ROWS: Final = 400
"""Beyond an 8K screen in a small font. Memory grows with the product."""
MAX_MESSAGE_BYTES: Final = 1 << 20
"""Of one message of a page, such as a pasted text."""
MAX_PACKET_BYTES: Final = 64 << 20
"""Of one packet of the UI: a full screen is less than 1 MB."""
_PING_CHARACTERS: Final = 40
_PASTE_STARTS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"


def bounded_size(width: object, height: object) -> tuple[int, int] | None:
    """A terminal's size that a UI can be drawn in; None for what is no size."""
    if type(width) is not int or type(height) is not int or width < 1 or height < 1:
        return None
    return min(width, MAX_COLUMNS), min(height, MAX_ROWS)


def bounded_number(text: str, default: int) -> int:
    """A number of an address; ``default`` for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def packet(kind: bytes, payload: bytes) -> bytes:
    """A packet for the UI: ``D`` is input, ``M`` says something about it."""
    return kind + len(payload).to_bytes(4, "big") + payload


def about(kind: str, **more: int) -> bytes:
    """A packet that says something about the terminal, or ``quit``."""
    return packet(b"M", json.dumps({"type": kind, **more}).encode())


def read_message(text: str) -> tuple[str, Any]:
    """The kind of a page's message, and what goes with it (None for nothing).

    Raises: ValueError for what our page never sends.
    """
    try:
        message = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(message, list) or not message or not isinstance(message[0], str):
        raise ValueError("not a message")
    return message[0], message[1] if len(message) > 1 else None


def packet_for(kind: str, content: Any) -> bytes:
    """What a page's message is for the UI; empty for what it has no use for."""
    if kind == "stdin" and isinstance(content, str):
        return packet(b"D", _closed_paste(content).encode(errors="replace"))
    if kind == "resize" and isinstance(content, dict):
        size = bounded_size(content.get("width"), content.get("height"))
        return about("resize", width=size[0], height=size[1]) if size else b""
    return about(kind) if kind in ("focus", "blur") else b""


def pong_for(content: Any) -> list[str] | None:
    """The answer to a ping, which holds a time."""
    is_short = isinstance(content, str) and len(content) <= _PING_CHARACTERS
    return ["pong", content] if is_short else None


def _closed_paste(text: str) -> str:
    """A page sends a pasted text as one message. One without an end would be collected for ever."""
    is_open = text.rfind(_PASTE_STARTS) > text.rfind(_PASTE_ENDS)
    return text + _PASTE_ENDS if is_open else text


def is_web_address(address: object) -> bool:
    """Whether a page may be asked to open it: never a ``javascript:`` of a model's answer."""
    return isinstance(address, str) and address.lower().startswith(("http://", "https://"))
