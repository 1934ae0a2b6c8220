"""Pictures of the screen that fetch nothing and are as small as they can be."""

from __future__ import annotations

import re
from typing import Final

FONTS: Final = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"

_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_LINE_CLIP = re.compile(r"<clipPath id=\"terminal-\d+-line-\d+\">.*?</clipPath>\s*", re.DOTALL)
_CLIPPED = re.compile(r" clip-path=\"url\(#terminal-\d+-line-\d+\)\"")
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_INDENT = re.compile(r"\n\s+")


def slim(svg: str) -> str:
    """A picture as Rich draws it, without its fonts from elsewhere and without a clip for each
    line: every text has a length of its own, so it cannot be longer than its cells."""
    for what in (_FONT_FACE, _LINE_CLIP, _CLIPPED, _COMMENT):
        svg = what.sub("", svg)
    svg = svg.replace("Fira Code, monospace", FONTS).replace("&#160;", "\u00a0")
    svg = _INDENT.sub("\n", svg).replace("><", ">\n<")
    return "\n".join(line for line in svg.splitlines() if line) + "\n"
