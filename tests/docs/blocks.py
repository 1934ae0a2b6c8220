"""The command blocks of the documents, and what is said of each in the comment above it.

A comment is not shown on the page::

    <!-- run -->                     every command ends with 0
    <!-- run: exit 3 -->             the last one ends with 3
    <!-- run: figures -->            and the figures shown below "$ command" are those it prints;
                                     "..." is what is left out
    <!-- not run: the reason -->
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGES: Final = sorted(
    path
    for path in (*DOCS.glob("*.md"), *DOCS.glob("*/*.md"))
    if path.parent.name not in ("decisions",) and path.name != "changelog.md"
)
_MARK: Final = re.compile(r"<!-- (run|not run)(?:: (.+?))? -->")
_SHELLS: Final = ("sh", "bash", "console", "powershell")
_COMMAND: Final = re.compile(r"^(\$ |gemmahub |uv |pip )", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block with commands. ``mark`` is "run", "not run", or "" where nothing is said."""

    page: Path
    line: int
    language: str
    text: str
    mark: str
    said: str

    @property
    def name(self) -> str:
        """Where it is."""
        return f"{self.page.relative_to(DOCS).as_posix()}:{self.line}"

    @property
    def exit_code(self) -> int:
        """What its last command ends with."""
        found = re.search(r"exit (\d+)", self.said)
        return int(found[1]) if found else 0

    def commands(self) -> list[tuple[str, list[str]]]:
        """Each command, with the lines that are shown as its output."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if self.language != "console" and line.strip():
                found.append((line, []))
            elif line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip() not in ("", "...") and found:
                found[-1][1].append(line)
        return found


def blocks(page: Path) -> Iterator[Block]:
    """The command blocks of a page; those that are indented instead of fenced, too."""
    lines = page.read_text(encoding="utf-8").splitlines()
    fence, language, start, inside = "", "", 0, list[str]()
    for number, line in enumerate(lines, 1):
        if fence:
            if line.strip() == fence:
                fence = ""
                text = "\n".join(inside)
                if language in _SHELLS or (language in ("", "text") and _COMMAND.search(text)):
                    yield _block(page, lines, start, language, text)
            else:
                inside.append(line)
        elif opened := re.match(r"(`{3,})(\w*)", line):
            fence, language, start, inside = opened[1], opened[2], number, []
        elif line.startswith("    ") and _COMMAND.match(line.strip()) and not lines[number - 2]:
            yield Block(page, number, "indented", line.strip(), "", "")


def _block(page: Path, lines: list[str], start: int, language: str, text: str) -> Block:
    found = _MARK.fullmatch(lines[start - 2].strip()) if start > 1 else None
    mark, said = (found[1], found[2] or "") if found else ("", "")
    return Block(page, start, language, text, mark, said)
