"""One file about variants: what was measured, what was not, and nothing of whose it is."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from gemmahub.measurements.records import DepthSpeed, SpeedResult, Spread
from gemmahub.python_environment import install_command
from gemmahub.testing.model_writer import write_model
from tests.service.test_measured import CONDITIONS, OTHERS, REFERENCE, content_of_known, quality
from tests.tui.library_support import steady_hub

if TYPE_CHECKING:
    from pathlib import Path

Command = Any

FIRST, SECOND = OTHERS


class _Page(HTMLParser):
    """What a page links to, which elements it has, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.elements: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        names = ("href", "src", "xlink:href", "action", "data")
        self.addresses += [value or "" for name, value in attrs if name in names]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One variant that was measured here and elsewhere; another one that was not."""
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    hub = steady_hub(tmp_path)
    content = content_of_known(hub, FIRST)
    speed = SpeedResult(
        model=replace(REFERENCE, content=content),
        conditions=CONDITIONS,
        depths=tuple(
            DepthSpeed(depth=depth, decode=Spread(median=rate, low=rate - 1, high=rate + 1, runs=5))
            for depth, rate in ((0, 33.0), (512, 31.0))
        ),
    )
    hub.results.add([quality(content, "Q8_0", 0.0123), speed])
    hub.results.add([quality(content, "Q8_0", 0.0456)], origin="a friend")


@pytest.mark.usefixtures("measured")
def test_a_page_needs_nothing_else(command: Command, tmp_path: Path) -> None:
    result = command("report", FIRST, SECOND, "--html", tmp_path / "r.html")
    assert result.code == 0, result
    text = (tmp_path / "r.html").read_text()
    page = _Page(text)
    assert all(address.startswith("#") for address in page.addresses)
    assert "script" not in page.elements
    assert not re.search(r"@import|url\((?!#)", text)
    assert page.elements.count("svg") == 3
    assert "12.50 ± 0.25" in page.text
    assert "0.0123 ± 0.0002" in page.text
    assert f"gemmahub quality {SECOND}" in page.text
    other = page.text.index("Measured on other machines")
    assert page.text.index("a friend") > other
    assert page.text.index("0.0456 ± 0.0009") > other
    assert "Q8_0 · int8 · 8.50 bits/weight" in page.text


@pytest.mark.usefixtures("measured")
def test_markdown_has_the_same_tables(command: Command) -> None:
    result = command("report", FIRST, SECOND, "--markdown", "-")
    assert result.code == 0, result
    assert "| perplexity | 12.50 ± 0.25 | - |" in result.out
    assert "| a friend |" in result.out
    assert f"gemmahub bench {SECOND} measures it" in result.out.replace("\\", "")


def test_what_was_not_measured_is_said_with_the_command(command: Command, tmp_path: Path) -> None:
    result = command("report", FIRST, "--html", tmp_path / "r.html")
    assert result.code == 0, result
    page = _Page((tmp_path / "r.html").read_text())
    assert page.elements.count("svg") == 1  # memory is known by formula
    assert f"No divergence was measured. This measures it: gemmahub quality {FIRST}" in page.text
    assert f"No speed was measured. This measures it: gemmahub bench {FIRST}" in page.text


def test_a_file_of_ones_own_goes_by_its_name_alone(command: Command, tmp_path: Path) -> None:
    place = tmp_path / "somebody's place"
    place.mkdir()
    write_model(place / "mine <b>.gguf")
    files = tmp_path / "r.html", tmp_path / "r.md"
    result = command("report", place / "mine <b>.gguf", "--html", files[0], "--markdown", files[1])
    assert result.code == 0, result
    for file in files:
        assert "somebody" not in file.read_text()
    assert "mine &lt;b&gt;.gguf" in files[0].read_text()


def test_a_file_that_is_there_stays(command: Command, tmp_path: Path) -> None:
    there = tmp_path / "r.md"
    there.write_text("mine")
    result = command("report", FIRST, "--markdown", there)
    assert result.code == 2
    assert there.read_text() == "mine"
    assert command("report", FIRST, "--markdown", there, "--force").code == 0
    assert there.read_text().startswith("# Gemma 3 4B")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((FIRST,), 2, "use --html FILE, --markdown FILE"),
        ((FIRST, FIRST, "--markdown", "-"), 2, "are the same variant"),
        ((FIRST, "--markdown", "/none/such/r.md"), 1, "cannot write"),
        (("no-such-model", "--markdown", "-"), 3, "no-such-model"),
    ],
)
def test_errors_say_what_to_do(
    command: Command, arguments: tuple[str, ...], code: int, told: str
) -> None:
    result = command("report", *arguments)
    assert result.code == code, result
    assert told in result.err


def test_without_matplotlib_the_error_names_what_installs_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = command("report", FIRST, "--html", tmp_path / "r.html")
    assert result.code == 5, result
    assert install_command("gemmahub[report]") in result.err
    assert not (tmp_path / "r.html").exists()
    assert command("report", FIRST, "--markdown", "-").code == 0


def test_the_reference_stands_at_zero(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    hub = steady_hub(tmp_path)
    first, second = (content_of_known(hub, reference) for reference in OTHERS)
    from_first = quality(second, "Q4_K_M", 0.02)
    assert from_first.divergence is not None
    own = replace(REFERENCE, content=first)
    hub.results.add(
        [
            replace(quality(first, "Q8_0", 0.0), divergence=None),
            replace(from_first, divergence=replace(from_first.divergence, reference=own)),
        ]
    )
    result = command("report", *OTHERS, "--html", tmp_path / "r.html", "--markdown", "-")
    assert result.code == 0, result
    assert "| divergence | the reference | 0.0200 ± 0.0004 |" in result.out
    page = _Page((tmp_path / "r.html").read_text())
    picture = page.text[page.text.index("Bits per weight against") : page.text.index("Mean div")]
    assert {"A", "B"} <= set(picture.split())
