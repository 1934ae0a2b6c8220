"""Makes the font of symbols that the UI in a browser loads: ``gemmahub/tui/web/symbols.woff2``.

    uv run --with fonttools --with brotli python -m tests.tui.web_symbols DejaVuSansMono.ttf

Roboto Mono, which textual-serve brings, has letters and no symbols: without this a browser takes
lines, blocks and marks from whichever font it has, and their widths differ. The symbols are those
of DejaVu Sans Mono (its licence is beside the font), which has no braille: that is drawn here, so
that dots of neighbouring cells are as far from each other as those within one.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).parents[2] / "gemmahub/tui/web/symbols.woff2"
RANGES: Final = ((0x2190, 0x21FF), (0x2300, 0x23FF), (0x2500, 0x27BF))
BRAILLE: Final = range(0x2800, 0x2900)
NAME: Final = "Gemmahub Symbols"
_PLACES: Final = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
"""Column and row of the dot of each bit of a braille pattern, from the top left."""
_RADIUS: Final = 0.36
"""Of a dot, as a share of the distance between two of a column."""


def main(source: Path) -> None:
    """Write the font."""
    subset, fonts = (_module(f"fontTools.{name}") for name in ("subset", "ttLib"))

    font = fonts.TTFont(source)
    options = subset.Options(
        layout_features=[], hinting=False, name_IDs=[0, 13], notdef_outline=True
    )
    subsetter = subset.Subsetter(options)
    symbols = [code for first, last in RANGES for code in range(first, last + 1)]
    subsetter.populate(unicodes=[0x20, 0x57, *symbols])
    subsetter.subset(font)
    _add_braille(font)
    for number in (1, 4, 16):
        font["name"].setName(NAME, number, 3, 1, 0x409)
    font.flavor = "woff2"
    font.save(TARGET)


def _module(name: str) -> Any:
    """A module that is no requirement of gemmahub's, here for this run alone."""
    return import_module(name)


def _add_braille(font: Any) -> None:
    width = font["hmtx"]["W"][0]
    top, bottom = font["hhea"].ascent, font["hhea"].descent
    step = (top - bottom) / 4
    order = font.getGlyphOrder()
    for code in BRAILLE:
        pen = _module("fontTools.pens.ttGlyphPen").TTGlyphPen(None)
        for bit, (column, row) in enumerate(_PLACES):
            if code & 1 << bit:
                x, y = width * (2 * column + 1) / 4, top - step * (row + 0.5)
                _dot(pen, x, y, _RADIUS * min(step, width / 2))
        name = f"uni{code:04X}"
        font["glyf"][name] = pen.glyph()
        font["hmtx"][name] = (width, 0)
        order.append(name)
        for table in font["cmap"].tables:
            if table.isUnicode():
                table.cmap[code] = name
    font.setGlyphOrder(list(dict.fromkeys(order)))


def _dot(pen: Any, x: float, y: float, radius: float) -> None:
    """A circle, as four quadratic curves through the corners of an octagon."""
    corner = radius * 0.8284  # twice tan(22.5°)
    inner = radius * 0.7071
    pen.moveTo((x, y + radius))
    for (cx, cy), (ex, ey) in (
        ((corner / 2, radius), (inner, inner)),
        ((radius, corner / 2), (radius, 0)),
        ((radius, -corner / 2), (inner, -inner)),
        ((corner / 2, -radius), (0, -radius)),
        ((-corner / 2, -radius), (-inner, -inner)),
        ((-radius, -corner / 2), (-radius, 0)),
        ((-radius, corner / 2), (-inner, inner)),
        ((-corner / 2, radius), (0, radius)),
    ):
        pen.qCurveTo((round(x + cx), round(y + cy)), (round(x + ex), round(y + ey)))
    pen.closePath()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
