"""Texts of others in a Markdown document."""

from __future__ import annotations

import re

from gemmahub.text import one_line


def markdown_line(text: str, most: int = 500) -> str:
    """A line that Markdown shows as it stands."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", one_line(text, most))
