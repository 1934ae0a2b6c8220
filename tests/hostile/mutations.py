"""Changed copies of good files: what damage, carelessness and malice make of them.

Each function takes a generator of random numbers and draws everything from it, so that an input is
made again from its seed alone.
"""

from __future__ import annotations

import copy
import json
import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from random import Random

NUMBERS: Final = (
    *(0, 1, 2, 3, 127, 255, 256, 1024, 4096, 2**15, 2**16, 2**20, 2**31 - 1, 2**31),
    *(2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
)
TEXTS: Final = (
    *("", "a" * 700, "\U0001f600" * 50, "\x1b]0;x\x07\x1b[2J", "\u202eabc\u200b", "%s%n{0}"),
    *("\0\0", "../../x", "/etc/passwd", "1e400", "nan", "gemma3", "gemma4", "llama", "clip"),
    *("sha256:" + "a" * 64, "\u2028", "-" * 300, "~", "C:\\x", "con", "[", "{{ x }}"),
)
VALUES: Final[tuple[Any, ...]] = (
    *(0, 1, -1, 2**31, 2**63, 10**30, 10**400, 0.5, 1e308, -1e308, True, False, None),
    *("", "a" * 3000, [], [1], [[1]], [None], [-1], [2**62] * 2, {}, {"a": {}}, {"": None}),
    *("U32", "F16", "gemma3", "4", 4, 64, 1e-300, [[[[]]]], ["a"] * 3),
    *TEXTS,
)
_RAW_NUMBERS: Final = (
    "1e999",
    "NaN",
    "-Infinity",
    "9" * 5000,
    "+1",
    "0x10",
    "1_0",
    "-" + "9" * 400,
)
_DEPTHS: Final = (10, 500, 5000, 100_000)


def changed_bytes(whole: bytes, random: Random, header: int | None = None) -> bytes:
    """``whole`` with some bytes of its first ``header`` ones flipped, made huge, cut, removed or
    doubled, or with another text in place of one of its own."""
    raw = bytearray(whole)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at = random.randrange(min(header or len(raw), len(raw)) or 1) if raw else 0
        match random.randrange(8):
            case 0 if raw:
                raw[at] ^= random.randrange(1, 256)
            case 1:
                raw[at : at + 4] = struct.pack("<I", random.choice(NUMBERS) & 0xFFFFFFFF)
            case 2:
                raw[at : at + 8] = struct.pack("<Q", random.choice(NUMBERS))
            case 3:
                raw[at : at + 4] = struct.pack(
                    "<f", random.choice((float("nan"), float("inf"), 3e38))
                )
            case 4 if random.random() < 0.3:
                del raw[at:]
            case 5:
                del raw[at : at + random.randrange(1, 32)]
            case 6:
                raw[at:at] = raw[at : at + random.randrange(1, 64)]
            case _:
                text = random.choice(TEXTS).encode("utf-8", "surrogatepass")
                raw[at : at + len(text)] = text
    return bytes(raw)


def changed_value(value: Any, random: Random) -> Any:
    """A JSON value with one to three of its places changed, removed or renamed."""
    value = json.loads(json.dumps(value))
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = _changed_once(value, random)
    return value


def _odd_value(random: Random) -> Any:
    """One of the odd values, a copy of its own."""
    return copy.deepcopy(random.choice(VALUES))


def _changed_once(value: Any, random: Random) -> Any:
    holders: list[tuple[Any, Any]] = []
    waiting = [value] if isinstance(value, dict | list) else []
    while waiting:
        one = waiting.pop()
        keys: Any = one if isinstance(one, dict) else range(min(len(one), 16))
        for key in list(keys):
            holders.append((one, key))
            if isinstance(one[key], dict | list):
                waiting.append(one[key])
    if not holders or random.random() < 0.02:
        return _odd_value(random)
    holder, key = random.choice(holders)
    if random.random() < 0.7 or not isinstance(holder, dict):
        holder[key] = _odd_value(random)
    elif random.random() < 0.5:
        del holder[key]
    else:
        holder[random.choice((*TEXTS, "x" * 300, "__metadata__"))] = holder.pop(key)
    return value


def changed_json(value: Any, random: Random) -> bytes:
    """The text of a changed value, which is now and then no JSON any more."""
    raw = json.dumps(changed_value(value, random) if random.random() < 0.85 else value)
    match random.randrange(24):
        case 0:
            raw = raw.replace(":", ":" + "[" * random.choice(_DEPTHS), 1)
        case 1:
            raw = raw.replace(": ", ": " + random.choice(_RAW_NUMBERS) + ",", 1)
        case 2:
            raw = raw.replace(": ", ": " + random.choice(_RAW_NUMBERS), 1)
        case 3:
            raw = raw.replace('"', '"\\ud83d', 1)
        case 4:
            raw = raw[: random.randrange(len(raw) + 1)]
        case 5:
            raw = "{" * random.choice(_DEPTHS)
        case 6:
            raw = raw.replace("{", '{"a": 1, "a": 2, ', 1)
        case 7:
            raw = "\ufeff" + raw
        case _:
            pass
    data = bytearray(raw.encode("utf-8", "surrogatepass"))
    if data and random.random() < 0.08:
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def changed_lines(values: list[Any], random: Random) -> bytes:
    """Lines of JSON: some changed, now and then one missing, doubled or in another place."""
    lines = [
        changed_json(value, random).replace(b"\n", b" ")
        if random.random() < 0.3
        else json.dumps(value).encode()
        for value in values
    ]
    match random.randrange(8):
        case 0:
            del lines[random.randrange(len(lines))]
        case 1:
            lines.insert(random.randrange(len(lines)), random.choice(lines))
        case 2:
            random.shuffle(lines)
        case 3:
            lines.append(b"\0" * random.choice((1, 600)))
        case _:
            pass
    return b"\n".join(lines) + random.choice((b"\n", b"\n", b"", b"\r\n", b"\n\n"))


def changed_text(whole: str, random: Random) -> bytes:
    """A text such as TOML, with tokens replaced, nested without end, cut, or other bytes in it."""
    tokens = whole.split(" ")
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(tokens))
        match random.randrange(6):
            case 0:
                tokens[at] = json.dumps(random.choice(TEXTS))
            case 1:
                tokens[at] = random.choice(_RAW_NUMBERS)
            case 2:
                tokens[at] = random.choice("[{") * random.choice(_DEPTHS)
            case 3:
                tokens[at] = random.choice(tokens)
            case 4:
                del tokens[at:]
                tokens = tokens or [""]
            case _:
                tokens[at] = str(random.choice(NUMBERS))
    data = bytearray(" ".join(tokens).encode("utf-8", "surrogatepass"))
    if data and random.random() < 0.2:
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)
