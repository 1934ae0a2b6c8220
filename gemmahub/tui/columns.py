"""The columns of the library table: what each says of a row, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

from gemmahub.service.abilities import ABILITIES
from gemmahub.text import duration, format_bytes, format_parameters
from gemmahub.tui.sort_filter import fit_word, maker_of, place_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.service.overview import ModelRow
    from gemmahub.tui.sort_filter import Item

LEVELS: Final = "▁▂▃▄▅▆▇█"
"""A share as the height of a cell."""
FIGURE: Final = 4
"""Cells of the figure behind a bar of memory."""
_LETTERS: Final = dict(zip(ABILITIES, "TIAHU", strict=True))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, what it says of a row, and ``help``, what that means.

    ``short`` stands there where the text has no room. The table itself draws ``memory``, a bar.
    """

    key: str
    label: str
    text: Callable[[Item], str]
    help: str
    right: bool = False
    short: Callable[[Item], str] | None = None

    def shown(self, item: Item, width: int) -> str:
        """What it says of a row, on exactly ``width`` cells."""
        text = self.text(item)
        if self.short is not None and cell_len(text) > width:
            text = self.short(item)
        return self.cut(text, width)

    def cut(self, text: str, width: int) -> str:
        """The text on exactly ``width`` cells."""
        forms = [text]
        if self.key == "model":
            forms = _shorter_names(text)
        elif self.key == "precision":
            forms = _shorter_precisions(text)
        text = next((form for form in forms if cell_len(form) <= width), forms[-1])
        return fitted(text, width, right=self.right, tail=_end(text))


def _end(name: str) -> int:
    """Cells at the end of a name that stay whatever is cut: who made it is said there alone."""
    end = maker_of(name) or name.rpartition("-")[2]
    return len(end) + 1 if len(end) < len(name) - 1 else 0


def _shorter_names(name: str) -> list[str]:
    """A name, the longest form first: ``MODEL:q4_0-qat-lmstudio``, ``MODEL:…-lmstudio``. The
    precision beside it says the rest."""
    model, colon, _ = name.partition(":")
    if not colon:
        return [name]
    maker = maker_of(name)
    return [name, f"{model}:…-{maker}" if maker else f"{model}:…"]


def _shorter_precisions(precision: str) -> list[str]:
    """A precision, the longest form first: ``Q4_0 QAT (not measured)``, ``Q4_0 QAT, ?``, ``Q4_0
    QAT``; ``UD-Q4_K_XL int4 QAT``, ``UD-Q4_K_XL QAT``. The bits beside it say the rest."""
    bare = precision.removesuffix(" (not measured)")
    if bare != precision:
        return [precision, f"{bare}, ?", bare]
    words = precision.split()
    return [precision, f"{words[0]} {words[2]}"] if len(words) == 3 else [precision]


def bar(share: float | None, cells: int) -> str:
    """A gauge in halves of a cell: heavy what is taken, light what is not; full from 1 on. Dots
    where nothing is known."""
    if share is None:
        return "·" * cells
    halves = min(cells * 2, max(1 if share > 0 else 0, round(share * cells * 2)))
    whole, half = divmod(halves, 2)
    return ("━" * whole + "╸" * half).ljust(cells, "─")


def _bits(item: Item) -> str:
    bits = item.row.variant.precision.bits_per_weight
    return "?" if bits is None else f"{bits:.2f}" if bits < 9.995 else f"{bits:.1f}"


def _context(item: Item) -> str:
    fit = item.row.fit
    if fit.fits is None:
        return "?"
    if not fit.fits:
        found = item.row.recommendation
        return f"{found.largest_context:,}" if found else "none"
    return f"{fit.largest_context:,}"


def _speed(item: Item) -> str:
    """A measured speed, or the band of an estimate."""
    speed = item.row.speed
    if speed is None:
        return "?" if item.row.fit.fits is None or item.row.recommendation else "-"
    if item.row.speed_is_measured:
        return f"{_rate(speed.likely)} ✓"
    return f"~{_rate(speed.low)}–{_rate(speed.high)}"


def _short_speed(item: Item) -> str:
    speed = item.row.speed
    assert speed is not None  # "?" needs no shorter form
    return _rate(speed.likely) if item.row.speed_is_measured else f"~{_rate(speed.likely)}"


def _rate(speed: float) -> str:
    return f"{speed:.1f}" if speed < 9.95 else f"{speed:.0f}"


def _score(item: Item) -> str:
    """The published score less what the precision costs of it."""
    quality = item.row.quality
    return "?" if quality.score is None else f"{quality.score * (1 - quality.lost):.1f}"


def _lost(item: Item) -> str:
    """The share of the score that the precision costs."""
    share = item.row.quality.loss.share
    return "?" if share is None else f"{share:.1%}"


def prompt_time(row: ModelRow) -> str:
    """Seconds until the first token of an answer, measured or estimated; ``?`` if unknown."""
    if (measured := row.measured_prompt_seconds) is not None:
        return f"{_time(measured)} ✓"
    wait = row.first_token
    return "?" if wait is None else f"~{_time(wait.likely)}"


def _short_prompt(item: Item) -> str:
    return prompt_time(item.row).removesuffix(" ✓")


def _time(seconds: float) -> str:
    digits = 2 if seconds < 0.095 else 1
    return f"{seconds:.{digits}f} s" if seconds < 9.95 else duration(seconds)


def _why(item: Item) -> str:
    """The four parts of its score, each as high as it is good."""
    if not item.row.parts:
        return "····"
    return "".join("·" if p.level is None else level(p.level) for p in item.row.parts)


def level(share: float) -> str:
    """A share from 0 to 1 as a cell of that height."""
    return LEVELS[min(len(LEVELS) - 1, int(max(0.0, share) * len(LEVELS)))]


def _abilities(item: Item) -> str:
    """A letter for each ability, and for what is a base model, embeds or is gated."""
    row = item.row
    first = "E" if row.variant.embeds else "B" if row.base else ""
    letters = [_LETTERS[name] if name in row.abilities else "·" for name in ABILITIES]
    if first:
        letters[0] = first
    return "".join(letters) + ("G" if row.gated and not row.installed else "·")


def _where(item: Item) -> str:
    """Where it is; of what is not here, how long getting it takes, once that was measured."""
    seconds = item.row.download_seconds
    return place_of(item.row) if seconds is None else f"↓ {duration(seconds)}"


def gib(count: int) -> str:
    """Bytes in GiB on :data:`FIGURE` cells, without the unit."""
    size = count / 2**30
    return f"{size:.2f}" if size < 9.995 else f"{size:.1f}" if size < 99.95 else f"{size:.0f}"


def _memory(item: Item) -> str:
    return gib(item.row.memory.total_bytes) if item.row.memory else "?"


COLUMNS: Final = (
    Column("rank", "#", lambda i: str(i.row.rank or ""),
           "place among all variants that run here, 1 is the best; e explains it", right=True),
    Column("model", "model", lambda i: i.title,
           "model and variant; +2 ▸ are variants folded below it: space shows them"),
    Column("precision", "precision", lambda i: i.row.variant.precision.short,
           "label, number format and training, as measured from its tensors"),
    Column("bits", "bits", _bits, "measured bits for each weight", right=True),
    Column("score", "score", _score,
           "MMLU-Pro in percent, less what the precision costs of it", right=True),
    Column("lost", "lost", _lost, "share of the score that the precision costs", right=True),
    Column("speed", "tok/s", _speed,
           "tokens a second of an answer: ~ is an estimate, ✓ was measured here", right=True,
           short=_short_speed),
    Column("prompt", "prompt", lambda i: prompt_time(i.row),
           "wait for the first token with a prompt of 1,000: ~ is an estimate, ✓ was measured here",
           right=True, short=_short_prompt),
    Column("context", "context", _context, "most tokens that fit what is free", right=True),
    Column("memory", "mem GiB", _memory,
           "memory at the chosen context: W weights, K cache, C compute, O other, of what is free "
           "at the fullest place; the figure is of all places"),
    Column("why", "QSFC", _why,
           "why it ranks there, each as high as it is good: quality, speed, fit, context; "
           "e explains it"),
    Column("can", "can", _abilities,
           "T text, I image, A audio, H thinking, U use of tools; B base model, E embeds, "
           "G gated: log in to get it"),
    Column("parameters", "params",
           lambda i: format_parameters(i.row.variant.parameters) if i.row.variant.parameters
           else "?", "number of weights", right=True),
    Column("size", "size", lambda i: format_bytes(i.row.variant.size_bytes), "size on the disk",
           right=True),
    Column("fit", "fit", lambda i: fit_word(i.row),
           "fits, tight, partly (some layers in system memory), too big"),
    Column("where", "where", _where,
           "where it is installed; ↓ how long getting it takes at the last measured rate"),
)  # fmt: skip


def fitted(text: str, width: int, *, right: bool = False, tail: int = 0) -> str:
    """``text`` on exactly ``width`` cells; cut in the middle, so that both ends can be read. The
    last ``tail`` cells stay as long as a few stay before them."""
    length = cell_len(text)
    if length <= width:
        return " " * (width - length) + text if right else text + " " * (width - length)
    if width < 8:
        return set_cell_size(text, width - 1) + "…" if width > 1 else "…"[:width]
    head = (width - 1) * 3 // 5
    rest = width - 1 - head
    if rest < tail <= width - 4:
        head, rest = width - 1 - tail, tail
    return set_cell_size(text, head) + "…" + _tail(text, rest)


def _tail(text: str, width: int) -> str:
    """The last ``width`` cells."""
    start = len(text)
    while start and cell_len(text[start - 1 :]) <= width:
        start -= 1
    found = text[start:]
    return " " * (width - cell_len(found)) + found
