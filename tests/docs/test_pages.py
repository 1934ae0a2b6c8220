"""What every page keeps to, and that a reader finds the way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gemmahub import config
from tests.docs.blocks import DOCS, PAGES, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GENERATED = ("commands.md", "settings.md", "exit-codes.md", "hooks.md")
LONG = ("tutorial.md", "tutorial-optional.md", "tui.md")
"""Pages that are the source of a plugin."""
MOST_LINES = 200
QUESTIONS = {
    "guides/choose-a-model.md": "8 GB",
    "guides/editors.md": "editor",
    "guides/what-int4-costs.md": "int4",
    "guides/tutorial.md": "plugin",
}


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def nav() -> Any:
    class Loader(yaml.SafeLoader):
        """Leaves the tags of extensions alone."""

    Loader.add_multi_constructor("tag:", lambda *_: None)
    text = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    return yaml.load(text, Loader)["nav"]


def listed(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    else:
        for value in part.values() if isinstance(part, dict) else part:
            yield from listed(value)


def test_the_navigation_has_each_page_once() -> None:
    pages = [name_of(path) for path in (*PAGES, DOCS / "changelog.md")]
    # Decisions are for maintainers, and have an index of their own.
    found = [name for name in listed(nav()) if not name.startswith("decisions/")]
    assert sorted(found) == sorted(pages)


def test_the_navigation_has_its_parts() -> None:
    assert [next(iter(part)) for part in nav()] == [
        "Home",
        "Getting started",
        "Guides",
        "Concepts",
        "Reference",
        "Security and privacy",
        "Scale",
        "Decisions",
        "Changelog",
    ]


def links(page: str) -> set[str]:
    """The pages that a page leads to, without the navigation."""
    here = DOCS / page
    targets = re.findall(r"\]\(([^)#:\s]+\.md)", here.read_text(encoding="utf-8"))
    return {name_of((here.parent / target).resolve()) for target in targets}


@pytest.mark.parametrize(("page", "word"), QUESTIONS.items())
@pytest.mark.parametrize("start", ["index.md", "getting-started/from-ollama.md"])
def test_a_reader_finds_it_within_three_clicks(start: str, page: str, word: str) -> None:
    reached, clicks = {start}, 0
    while page not in reached and clicks < 3:
        reached |= {target for name in reached for target in links(name)}
        clicks += 1
    assert page in reached
    asked = (DOCS / start).read_text(encoding="utf-8")
    lines = [line for line in asked.splitlines() if page.rpartition("/")[2] in line]
    assert any(word in line for line in lines), "the link should be recognised by this word"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_begins_with_what_the_reader_gets(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    title, _, rest = text.partition("\n\n")
    assert re.fullmatch(r"# \S.{1,40}", title)
    first = re.sub(r"^<!--.*?-->\s*", "", rest, flags=re.DOTALL).split("\n\n")[0]
    assert re.match(r"[A-Z`*]", first), "a sentence, and no heading, table or block"
    assert len(first) < 420


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_is_short(page: Path) -> None:
    if page.name in (*GENERATED, *LONG):
        return
    text = page.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for paragraph in prose.split("\n\n"):
        if not re.match(r"[|#`>\-\d<]", paragraph.strip()):
            assert len(paragraph) <= 1100, paragraph[:80]


def test_every_variable_is_in_a_page() -> None:
    document = (DOCS / "reference/files.md").read_text(encoding="utf-8")
    for variable in re.findall(r"``(GEMMAHUB_\w+)``", config.__doc__ or ""):
        assert f"`{variable}`" in document


def test_every_command_block_says_whether_it_is_run() -> None:
    silent = [
        b.name
        for page in PAGES
        for b in blocks(page)
        if not b.mark and b.page.name != "commands.md"
    ]
    assert silent == []


def test_a_block_that_is_not_run_says_why() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.mark != "not run" or len(block.said) > 10, block.name
