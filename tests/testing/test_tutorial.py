"""The tutorial's blocks are the echo plugin, and make a plugin that passes the conformance kit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.testing.conformance import BackendConformance

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MOST_LINES = 60


@pytest.fixture
def files() -> dict[str, str]:
    """The files that the tutorial builds; a block that begins indented goes on with a class."""
    found: dict[str, str] = {}
    pages = (ROOT / f"docs/guides/{name}.md" for name in ("tutorial", "tutorial-optional"))
    both = "".join(page.read_text(encoding="utf-8") for page in pages)
    for name, text in BLOCK.findall(both):
        gap = "\n" if text.startswith(" ") else "\n\n"
        found[name] = f"{found[name]}{gap}{text}" if name in found else text
    return found


def test_it_builds_the_echo_plugin(files: dict[str, str]) -> None:
    assert len(files) == 6
    for name, text in files.items():
        assert text == (ROOT / "plugins/echo" / name).read_text(encoding="utf-8"), name


def test_a_working_backend_is_short(files: dict[str, str]) -> None:
    lines = [line for line in files["gemmahub_echo/backend.py"].splitlines() if line.strip()]
    assert 20 < len(lines) < MOST_LINES


def test_what_it_builds_passes_the_kit(
    files: dict[str, str],
    tmp_path: Path,
    install: Callable[[Path, str, str], None],
    run_pytest: Callable[..., dict[tuple[str, str], str]],
) -> None:
    # Under another name, because the real one is installed here.
    for name, text in files.items():
        path = tmp_path / name.replace("echo", "tutorial")
        path.parent.mkdir(exist_ok=True)
        path.write_text(re.sub(r"\becho\b|(?<=_)echo\b", "tutorial", text), encoding="utf-8")
    install(tmp_path, "tutorial", "gemmahub_tutorial")
    found = run_pytest(tmp_path, "tests")
    assert set(found.values()) == {"passed", "skipped"}
    kit = {test for test in dir(BackendConformance) if test.startswith("test_")}
    assert {test for _, test in found} == kit
