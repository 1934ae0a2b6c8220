"""Tests in an environment of its own: lowest versions of what is required, or another Python."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from release import ReleaseError
from release.distributions import ROOT, distributions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# As the dependency group "plugins" has them: PyTorch and JAX take gigabytes each.
_EXTRAS: Final = {"gemmahub": "[keyring,report,try,web]", "gemmahub-litertlm": "[engine]",
                  "gemmahub-mlx": "[cpu]"}  # fmt: skip
QUICK: Final = ("-m", "quick", "tests")
# Through the libraries themselves: the quick tests passed with versions that failed here.
THROUGH_LIBRARIES: Final = ("tests/hub", "tests/http", "tests/conversations")


def run_tests(say: Callable[[str], None], *, python: str = "", tests: Sequence[str] = ()) -> None:
    """Install all distributions and run tests: words for pytest, else the quick tests.

    Without ``python`` every direct requirement has its lowest version, on the Python that runs
    this, and tests of what talks through libraries run, too; else the newest ones, on that Python.
    Raises: ReleaseError where one fails.
    """
    with tempfile.TemporaryDirectory(prefix="gemmahub-lowest-") as scratch:
        venv = Path(scratch) / "venv"
        _run(["uv", "venv", "--quiet", "--python", python or sys.executable, str(venv)])
        here = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        editable = [
            word
            for distribution in distributions()
            for word in ("-e", f"{distribution.folder}{_EXTRAS.get(distribution.name, '')}")
        ]
        resolution = "highest" if python else "lowest-direct"
        say(f"install {len(editable) // 2} distributions, {resolution} versions")
        install = ["uv", "pip", "install", "--quiet", "--python", str(here)]
        _run([*install, "--resolution", resolution, "--group", "test", *editable])
        say(_installed(here))
        runs = [tests] if tests else [QUICK] if python else [QUICK, THROUGH_LIBRARIES]
        for words in runs:
            say(f"{_version(here)}: pytest {' '.join(words)}")
            _run([str(here), "-m", "pytest", *words, "-q", "-p", "no:cacheprovider"])


def found_python(wanted: str) -> str:
    """An interpreter by its version (``3.13``) or path; empty where there is none here.

    uv does not look into pyenv's folder, and pyenv's own links start one version only.
    """
    if os.sep in wanted:
        return wanted
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = sorted(root.glob(f"versions/{wanted}.*/bin/python"))
    command = ["uv", "python", "find", "--no-python-downloads", "--quiet", wanted]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout.strip():
        return done.stdout.strip()
    return str(kept[-1]) if kept else ""


def _installed(python: Path) -> str:
    """The versions of what the distributions here require themselves, in one line."""
    direct = {r.name.lower().replace("_", "-") for d in distributions() for r in d.requirements()}
    command = ["uv", "pip", "freeze", "--quiet", "--exclude-editable", "--python", str(python)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return " ".join(x for x in done.stdout.split("\n") if x.partition("==")[0].lower() in direct)


def _version(python: Path) -> str:
    done = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _run(command: list[str]) -> None:
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(command[:4])} ... ended with {done.returncode}")
