"""Plugins that are installed for a test, and runs of their tests in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STATES = ["passed", "skipped", "failure", "error"]


@pytest.fixture(scope="session")
def install() -> Callable[[Path, str, str], None]:
    """Make a distribution in a folder that offers a plugin, as an installer would leave it."""

    def make(folder: Path, name: str, module: str) -> None:
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: gemmahub-{name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[gemmahub]\n{name} = {module}\n")

    return make


@pytest.fixture(scope="session")
def run_pytest() -> Callable[..., dict[tuple[str, str], str]]:
    """Run tests below a folder; (class, test without parameters) -> the worst that happened to it.

    ``path`` are further folders that modules are found in.
    """

    def run(folder: Path, *nodes: str, path: tuple[Path, ...] = ()) -> dict[tuple[str, str], str]:
        report = folder / "report.xml"
        paths = [str(folder), *map(str, path), os.environ.get("PYTHONPATH", "")]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
        done = subprocess.run(
            [*command, f"--junitxml={report}", f"--rootdir={folder}", *nodes],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=500,
            env=os.environ
            | {
                "CI": "true",  # pytest explains more there: a kit once took hours over its bytes
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # loading them takes longer than the kit
            },
        )
        assert done.returncode in (0, 1), done.stdout + done.stderr
        found: dict[tuple[str, str], str] = {}
        for case in ET.parse(report).iter("testcase"):
            key = case.attrib["classname"].rpartition(".")[2], case.attrib["name"].partition("[")[0]
            state = next((child.tag for child in case if child.tag in STATES), "passed")
            found[key] = max(state, found.get(key, "passed"), key=STATES.index)
        return found

    return run
