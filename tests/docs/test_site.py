"""The documentation site: it builds without a warning, its links lead somewhere, and a browser that
opens it asks nobody else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag

import pytest

from tests.docs.blocks import DOCS, PAGES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    find_spec("zensical") is None, reason="the site's builder is missing: uv sync --group docs"
)
FETCHED = ("script", "link", "img", "iframe", "source", "video", "audio", "embed", "object")
"""Elements whose address a browser fetches by itself."""


class Page(HTMLParser):
    """The anchors of a page, the addresses that it leads to, and those that it fetches."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.fetched: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes down what an element names."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id":
                self.anchors.add(value)
            elif name in ("href", "src", "data", "poster"):
                (self.fetched if tag in FETCHED else self.links).add(value)
            elif name == "srcset":
                self.fetched |= {part.split()[0] for part in value.split(",") if part.strip()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Nothing is taken from an earlier one."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs")
    shutil.copy(DOCS.parent / "mkdocs.yml", folder)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr
    return folder / "site"


@cache
def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def pages(site: Path) -> list[Path]:
    found = sorted(site.rglob("*.html"))
    assert len(found) > len(PAGES)
    return found


def test_each_page_is_built_and_nothing_that_is_none(site: Path) -> None:
    for page in PAGES:
        assert (site / page.relative_to(DOCS).with_suffix(".html")).exists(), page
    assert not list(site.rglob("*.py"))
    assert "unreleased" in read(site / "changelog.html").anchors


def test_links_lead_to_pages_and_anchors(site: Path) -> None:
    broken = []
    for path in pages(site):
        if path.name == "404.html":  # its links begin at the root of a server
            continue
        for link in read(path).links | read(path).fetched:
            if re.match(r"[a-z]+:", link):
                continue
            address, anchor = urldefrag(link)
            target = (path.parent / unquote(address)).resolve() if address else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (
                anchor and target.suffix == ".html" and anchor not in read(target).anchors
            ):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_a_browser_fetches_nothing_from_elsewhere(site: Path) -> None:
    for path in pages(site):
        away = {link for link in read(path).fetched if re.match(r"([a-z]+:)?//", link)}
        assert away == set(), path
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", text), sheet
    for page in PAGES:  # what makes the site's script fetch one of its own
        assert not re.search(r"^```(mermaid|pyodide)", page.read_text("utf-8"), re.MULTILINE), page


def test_it_can_be_searched_and_has_two_colour_schemes(site: Path) -> None:
    assert (site / "search.json").stat().st_size > 100_000
    html = (site / "index.html").read_text(encoding="utf-8")
    assert 'data-md-component="search"' in html
    assert {"default", "slate"} <= set(re.findall(r'data-md-color-scheme="(\w+)"', html))
