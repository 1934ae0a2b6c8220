"""Texts and pages are plain English: what reads like a translation does not come back."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.shown_strings import ROOT, ShownText, shown_texts, sources

if TYPE_CHECKING:
    from pathlib import Path

AVOIDED = {
    r"\bmend(s|ed|ing)?\b": "correct, fix",
    r"\breckon": "count, estimate",
    r"\ball the same\b": "anyway",
    r"\blies? (there|here|twice|beside)\b": "is there, is a duplicate",
    r"\bwhat comes\b": "say what it is",
    r"\bgo(es)? on with\b": "continue",
    r"\banew\b": "again",
    r"\bbesides\b": "also, apart from",
    r"\bin all\b(?! +\w)": "total, altogether",
    r"\btoo little\b": "short, not enough",
    r"\bheld against\b": "compared with",
    r"\btakes? of the\b": "uses",
    r"\b(are|is) to fetch\b": "needs, downloads",
    r"\bmakes? no sense\b": "is invalid",
    r"\bin work\b": "in progress",
    r"\bnobody is here\b": "say what is missing",
    r"\bsay --\w": "use --option",
    r"\bname another\b": "choose another",
    r"\bgive(s|n)? back\b": "free, return",
    r"\bleave (--?\w[\w-]*|the \w+) out\b": "leave out ...",
    r"\bone of the engine's\b": "a backend option",
    r"\bthis is a defect\b": "this is a bug",
    r"\bwhole of\b": "all of",
}
"""What is avoided, and what to write instead."""

IN_TEXTS = AVOIDED | {
    r"(?<![Tt]here )\b(is|are) no (?!longer\b|more\b|less\b)": "is not a ...",
    r"\}\s+(bytes|B)\b": "text.format_bytes, text.format_gib",
}
"""What is avoided in texts of the program: it also prints sizes in one unit."""

RAW_BYTES_ARE_MEANT = {
    # An alignment and the bytes that a test cuts off are exact numbers, not sizes for people.
    "its tensors are aligned to {alignment} B instead of {_LEAST_ALIGNMENT} B",
    "{source.read_bytes} bytes were read",
    "a file cut off after {length} bytes",
    "a file cut off after {length} bytes was accepted as complete",
    "llama.cpp accepts at most {_LONGEST} bytes for {key}",
}

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "plugins/*/README.md")
    for path in ROOT.glob(pattern)
)
QUOTES_THEM = "CONTRIBUTING.md"
"""The page that lists words to avoid; its table is left out."""


def found_in(text: str, avoided: dict[str, str]) -> list[str]:
    """Each avoided expression in a text, with what to write instead."""
    return [
        f"{match[0]!r} ({better})"
        for pattern, better in avoided.items()
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]


@cache
def texts() -> list[ShownText]:
    return [text for path in sources() for text in shown_texts(path)]


def test_shown_texts_are_plain_english() -> None:
    wrong = [
        f"{text.path}:{text.line}: {words}"
        for text in texts()
        if " ".join(text.text.split()) not in RAW_BYTES_ARE_MEANT
        for words in found_in(text.text, IN_TEXTS)
    ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_are_plain_english(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.name == QUOTES_THEM:
        text = re.sub(r"<!-- words -->.*?<!-- end -->", "", text, flags=re.DOTALL)
    # A sentence may be broken where its line ends.
    assert found_in(" ".join(text.split()), AVOIDED) == []


def test_a_planted_text_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(
        '''
def refuse(path, size, count):
    """Mend the docstring: nobody sees it."""
    if path == "this text is no file":
        raise ValueError(
            f"{path} is no file of {size} bytes, " + "and what lies there twice",
            hint=f"mend {'it anew' if count else 'them'}",
        )

@group.command()
def run():
    """Go on with it all the same."""
''',
        encoding="utf-8",
    )
    found = shown_texts(planted, tmp_path)
    assert [text.text for text in found] == [
        "{path} is no file of {size} bytes, and what lies there twice",
        "it anew",
        "mend {'it anew' if count else 'them'}",
        "Go on with it all the same.",
    ]
    words = " ".join(hit for text in found for hit in found_in(text.text, IN_TEXTS))
    for expected in ("is no", "bytes", "lies there", "mend", "anew", "Go on with", "all the same"):
        assert expected in words


def test_the_lister_finds_texts_of_each_kind() -> None:
    """Help, errors, hints, output, labels of the UI and options of plugins are all in the list."""
    places = {text.path for text in texts()}
    for part in ("gemmahub/cli/", "gemmahub/tui/", "gemmahub/service/", "gemmahub/engines/"):
        assert any(place.startswith(part) for place in places), part
    for plugin in ROOT.glob("plugins/*/"):
        assert any(place.startswith(f"plugins/{plugin.name}/") for place in places), plugin
    listed = {text.text for text in texts()}
    assert "Context length, in tokens." in listed
    assert "JSON" not in listed
