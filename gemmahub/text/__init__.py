"""Text for people: sizes, counts, and text from elsewhere made harmless."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# --- text from elsewhere -------------------------------------------------------------------------

_INTRODUCERS: Final = "\x1b\x90\x98\x9b\x9d\x9e\x9f"
_STRING_BODY: Final = r"[^\x07\x1b\x9c\n\x90\x98\x9d\x9e\x9f]*"
# ECMA-48: CSI and OSC/DCS/PM/APC/SOS strings (7-bit and 8-bit introducers), then single escapes. A
# string that never ends, or not on its line, loses its introducer only: it must not hide what
# stands behind it.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    rf"|(?:\x1b[]PX^_]|[\x90\x98\x9d\x9e\x9f]){_STRING_BODY}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"
)
_UNFINISHED: Final = re.compile(
    r"(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*"
    rf"|(?:\x1b[]PX^_]|[\x90\x98\x9d\x9e\x9f]){_STRING_BODY}\x1b?"
    r"|\x1b[ -/]*)\Z"
)


_CATEGORIES: Final = frozenset(("Cc", "Cf", "Zl", "Zp", "Cs", "Co"))
# Unassigned for some Pythons, and format characters or invisible for a terminal: those of Unicode
# 15.0, and DerivedCoreProperties.txt, Default_Ignorable_Code_Point. What else is unassigned stays:
# letters and emoji that are younger than Python's tables.
_INVISIBLE: Final = (0x2065, 0x2066, 0xFFF0, 0xFFF9, 0x13439, 0x13440, 0xE0000, 0xE1000)
_SEPARATORS: Final = frozenset("\x0b\x0c\x85\u2028\u2029")
"""Other line breaks, which become a space: words on both sides of them stay apart."""
_NON_JOINER: Final = "\u200c"
_JOINER: Final = "\u200d"
# The first code point of each block with letters that join (ArabicShaping.txt), and that after it.
_CURSIVE: Final = (
    0x0600, 0x0780, 0x07C0, 0x0800, 0x0840, 0x0900, 0x1800, 0x18B0, 0xA840, 0xA880, 0xFB50, 0xFE00,
    0xFE70, 0xFEFF, 0x10AC0, 0x10B00, 0x10B80, 0x10BB0, 0x10D00, 0x10D40, 0x10EC0, 0x10F00,
    0x10F30, 0x10FE0, 0x1E900, 0x1E960,
)  # fmt: skip
# The same of blocks with what emoji-zwj-sequences.txt joins (UTS #51).
_EMOJI: Final = (
    0x2190, 0x2200, 0x2300, 0x2400, 0x2600, 0x27C0, 0x2B00, 0x2C00, 0x1F000, 0x1FB00,
)  # fmt: skip
_EMOJI_STYLE: Final = "\ufe0f"
_SERVER: Final = re.compile(r"[^ /]+://[^ /]+/")
_VIRAMA: Final = 9
"""The combining class of signs that take the vowel from an Indic letter."""


def strip_controls(text: str) -> str:
    """``text`` without terminal control sequences, and without characters that cannot be seen:
    those of the Unicode categories Cc, Cf, Zl, Zp, Cs and Co. Line breaks, tabs, and joiners where
    they have a meaning (:func:`_joins`) stay. Stripping twice changes nothing."""
    if text.isprintable():  # then it holds neither controls nor formatting characters
        return text
    return _shown(_without_escapes(text))


def strip_escapes(text: str) -> str:
    """``text`` without what a terminal obeys, and without halves of characters, which no file can
    hold; all else stays, also what cannot be seen. For files that are the user's own."""
    if text.isprintable():
        return text
    return _without_escapes(text).translate(_OBEYED)


def escape_unshown(json: str) -> str:
    """JSON in which no character is raw that :func:`strip_controls` would take away, nor a joiner:
    each is written as ``\\uXXXX``, which says the same."""
    return json.translate(_ESCAPED)


def one_line(text: str, limit: int = 200) -> str:
    """``text`` from elsewhere as one harmless line of at most ``limit`` characters.

    No address is cut inside, for a part of one leads nowhere: it is left out, as what follows it.
    One that begins the line stays, with up to twice ``limit`` characters, else its server does.
    """
    line = " ".join(strip_controls(text).split())
    if len(line) <= limit:
        return line
    kept = line[: limit - 1]
    begin = kept.rfind(" ") + 1
    word = line[begin:].partition(" ")[0]
    if "://" not in word:
        return kept + "…"
    if begin:
        return kept[:begin] + "…"
    if len(word) < 2 * limit:
        return word if len(word) == len(line) else word + " …"
    server = _SERVER.match(kept)
    return (server[0] if server else kept) + "…"


class StreamStripper:
    """As :func:`strip_controls` for text in pieces, also when a piece ends inside a sequence."""

    _PENDING_LIMIT = 4096

    def __init__(self) -> None:
        self._pending = ""  # the beginning of a sequence
        self._joiner = ""  # a joiner whose neighbour has not come yet
        self._before = ""  # the last that was given out: what a joiner joins

    def feed(self, piece: str) -> str:
        """The harmless part of what has come so far; an unfinished sequence is held back."""
        if not piece:
            return ""
        if piece.isprintable() and not self._pending and not self._joiner:
            self._before = piece if len(piece) > 1 else self._before[-1:] + piece
            return piece
        text = self._pending + piece
        self._pending = ""
        if _has_escapes(text) and (unfinished := _UNFINISHED.search(text)):
            cut = unfinished.start()
            if len(text) - cut < self._PENDING_LIMIT:
                text, self._pending = text[:cut], text[cut:]
        return self._strip(text)

    def finish(self) -> str:
        """What is left at the end."""
        text, self._pending = self._pending, ""
        return self._strip(text, last=True)

    def _strip(self, text: str, *, last: bool = False) -> str:
        before = self._before[-2:]
        raw = before + self._joiner + _without_escapes(text)
        self._joiner = ""
        if raw.endswith((_JOINER, _NON_JOINER)) and not last:
            raw, self._joiner = raw[:-1], raw[-1]
        # What is taken away joins nothing, and no joiner is judged twice.
        end = "".join("\n" if _is_unshown(ord(char)) else char for char in raw[-2:])
        self._before = end.rpartition("\n")[2]
        return _shown(raw)[len(before) :]


def _has_escapes(text: str) -> bool:
    return any(map(text.__contains__, _INTRODUCERS))


def _without_escapes(text: str) -> str:
    return _ESCAPES.sub("", text) if _has_escapes(text) else text


def _shown(text: str) -> str:
    if _JOINER in text or _NON_JOINER in text:
        text = _JOINERS.sub(lambda m: m[0] if _joins(text, m.start()) else "", text)
    return text.translate(_SHOWN)


def _is_unshown(code: int) -> bool:
    """Whether a character is none of those that can be seen; a joiner is one of them."""
    if code in (0x09, 0x0A):
        return False
    category = unicodedata.category(chr(code))
    if category == "Cn":
        is_no_character = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
        return is_no_character or _is_within(_INVISIBLE, code)
    return category in _CATEGORIES


def _is_within(bounds: tuple[int, ...], code: int) -> bool:
    """Whether a code point is in one of the spans: their firsts, each with the first after it."""
    return bool(bisect_right(bounds, code) % 2)


class _Table(dict[int, int | str | None]):
    """What stands for each character, for :meth:`str.translate`; filled as they come."""

    _ENTRIES = 4096  # a text of all characters there are must not fill the memory

    def __init__(self, stand_in: Callable[[int], int | str | None]) -> None:
        super().__init__()
        self._stand_in = stand_in

    def __missing__(self, code: int) -> int | str | None:
        found = self._stand_in(code)
        if len(self) < self._ENTRIES:
            self[code] = found
        return found


def _escaped(code: int) -> int | str:
    if not _is_unshown(code):
        return code
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{0xD7C0 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _stand_in(code: int) -> int | str | None:
    if chr(code) in _SEPARATORS:
        return " "
    kept = not _is_unshown(code) or chr(code) in (_JOINER, _NON_JOINER)
    return code if kept else None


def _obeyed(code: int) -> int | None:
    kept = code in (0x09, 0x0A) or unicodedata.category(chr(code)) not in ("Cc", "Cs")
    return code if kept else None


_JOINERS: Final = re.compile(f"[{_NON_JOINER}{_JOINER}]")
_SHOWN: Final = _Table(_stand_in)
_ESCAPED: Final = _Table(_escaped)
_OBEYED: Final = _Table(_obeyed)


def _joins(text: str, at: int) -> bool:
    """Whether the joiner or non-joiner ``text[at]`` has a meaning there.

    Source: UAX #31 section 2.3, rules A1 (between letters that join, here of a script that does),
    A2 and B (after a virama), Unicode 17.0 section 12.2 (between Bengali ra and a virama), and UTS
    #51 (between emoji).
    """
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if not before:
        return False
    joiner = text[at] == _JOINER
    if unicodedata.combining(before) == _VIRAMA:
        return text[at - 2 : at - 1].isalpha() and (joiner or after.isalpha())
    if not after:
        return False
    if before == _EMOJI_STYLE:
        before = text[at - 2 : at - 1] or before
    if joiner and _is_emoji(before) and _is_emoji(after):
        return True
    if joiner and unicodedata.combining(after) == _VIRAMA:
        return before.isalpha()
    return _is_cursive(before) and _is_cursive(after)


def _is_cursive(char: str) -> bool:
    return _is_within(_CURSIVE, ord(char)) and unicodedata.category(char)[0] in "LM"


def _is_emoji(char: str) -> bool:
    return _is_within(_EMOJI, ord(char))


# --- figures -------------------------------------------------------------------------------------


def format_bytes(count: int | None) -> str:
    """Bytes as the field prints file sizes: decimal units, three digits (``3.16 GB``)."""
    if count is None:
        return "?"
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 999.5 or unit == "GB":
            break
        value /= 1000
    if unit == "B":
        return f"{count} B"
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {unit}"


def format_gib(count: int) -> str:
    """Bytes as memory is counted, in binary units: ``8.00 GiB``."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**29 else f"{count / 2**20:.0f} MiB"


def format_parameters(count: int) -> str:
    """Number of weights, short: ``268M``, ``27.0B``."""
    if count >= 999_500_000:
        return f"{count / 1e9:.3g}B" if count < 99.95e9 else f"{count / 1e9:.0f}B"
    if count >= 999_500:
        return f"{count / 1e6:.0f}M"
    return f"{count / 1e3:.0f}K" if count >= 1000 else str(count)


def percent(share: float) -> str:
    """A share as a whole percentage; what is not nothing and not all never reads 0% or 100%."""
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share:.0%}"


def nearest(name: str, known: Iterable[str], count: int = 4) -> list[str]:
    """Known names that look like ``name``, the nearest first; case does not matter."""
    by_fold = {candidate.casefold(): candidate for candidate in known}
    found = get_close_matches(name.casefold(), by_fold, n=count, cutoff=0.5)
    return [by_fold[fold] for fold in found]


def format_rate(tokens_per_second: float) -> str:
    """A speed as people read it: ``8.25 tokens/s`` has digits that are noise, ``8.3`` has none."""
    digits = 1 if tokens_per_second < 99.95 else 0
    return f"{tokens_per_second:,.{digits}f} tokens/s"


def plural(count: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """A time that is left: ``45 s``, ``3 min``, ``1 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
