"""Install the built wheels the ways that people do, away from the checkout, and ask a model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from release import ReleaseError
from release.distributions import ROOT, distributions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MODEL: Final = "gemma-3-270m"
QUESTION: Final = "The capital of France is"
PIPX: Final = "pipx>=1.8,<2"
_SHORT: Final = ("--max-tokens", "16", "--temperature", "0")
_MINUTES: Final = 10


class Trial:
    """One way to install, in a home folder of its own. ``scripts`` is where programs are put."""

    def __init__(self, scratch: Path, wheels: Path) -> None:
        self.scratch, self.wheels = scratch, wheels.absolute()
        self.home, self.scripts = scratch / "home", scratch / "bin"
        self.home.mkdir()
        version = distributions()[0].version
        self.gemmahub = f"gemmahub[try]=={version}"
        kept = ("PATH", "LANG", "TMPDIR", "SYSTEMROOT", "COMSPEC", "PATHEXT", "UV_CACHE_DIR")
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        self.environment = {
            **{name: os.environ[name] for name in kept if name in os.environ},
            **{n: v for n, v in os.environ.items() if n.startswith(("UV_", "PIP_", "SSL_"))},
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or f"{cache}/uv",
            "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR") or f"{cache}/pip",
            "UV_FIND_LINKS": str(self.wheels),
            "PIP_FIND_LINKS": str(self.wheels),
            "UV_TOOL_DIR": str(scratch / "tools"),
            "UV_TOOL_BIN_DIR": str(self.scripts),
            "PIPX_HOME": str(scratch / "pipx"),
            "PIPX_BIN_DIR": str(self.scripts),
            "GGML_NO_BACKTRACE": "1",
            "HF_HUB_OFFLINE": "1",
        }

    def run(self, *words: str | Path, more: Mapping[str, str] | None = None) -> str:
        """What a command prints on standard output, from an empty folder. Raises: ReleaseError."""
        line = [str(word) for word in words]
        try:
            done = subprocess.run(
                line, cwd=self.scratch, env={**self.environment, **(more or {})},
                stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8",
                errors="replace", timeout=60 * _MINUTES, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReleaseError(f"{' '.join(line)}: {error}") from error
        if done.returncode:
            what = f"{' '.join(line)} ended with exit code {done.returncode}"
            raise ReleaseError(f"{what}:\n{done.stdout.strip()}\n{done.stderr.strip()}")
        return done.stdout


def _by_pip(trial: Trial) -> Path:
    """A virtual environment, and pip in it."""
    folder = trial.scratch / "venv"
    trial.run(sys.executable, "-m", "venv", folder)
    trial.scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    trial.run(trial.scripts / "python", "-m", "pip", "install", "--quiet", trial.gemmahub)
    return trial.scripts / "python"


def _by_uv(trial: Trial) -> Path:
    # uv keeps wheels by name and version: what was built before under that name is not meant.
    fresh = [w for d in distributions() for w in ("--refresh-package", d.name)]
    command = ("uv", "tool", "install", "--quiet", "--python", sys.executable)
    trial.run(*command, *fresh, trial.gemmahub)
    return _python_in(trial.scratch / "tools" / "gemmahub")


def _by_pipx(trial: Trial) -> Path:
    pipx = ("uv", "tool", "run", "--quiet", "--python", sys.executable, "--from", PIPX, "pipx")
    # pipx itself is installed from the index alone
    trial.run(*pipx, "install", "--quiet", "--python", sys.executable, trial.gemmahub)
    return _python_in(trial.scratch / "pipx" / "venvs" / "gemmahub")


def _python_in(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _compare(wheels: Path, installed: Path) -> None:
    """Raises: ReleaseError where an installed file is not that of the wheels."""
    for distribution in distributions():
        if not (installed / distribution.package).is_dir():
            continue
        with zipfile.ZipFile(wheels / distribution.files[1]) as wheel:
            for name in wheel.namelist():
                if name.startswith(f"{distribution.package}/"):
                    path = installed / name
                    if not path.is_file() or path.read_bytes() != wheel.read(name):
                        raise ReleaseError(f"{path} is not that of {distribution.files[1]}")


WAYS: Final[Mapping[str, Callable[[Trial], Path]]] = {
    "pip": _by_pip, "uv": _by_uv, "pipx": _by_pipx,
}  # fmt: skip


def try_out(wheels: Path, way: str, say: Callable[[str], None]) -> str:
    """Install ``gemmahub[try]`` that way and ask the small model; its answer.

    Raises: ReleaseError where something cannot be installed, comes from the checkout, does not
    load, or gives no answer.
    """
    if not any(wheels.glob("gemmahub-*.whl")):
        raise ReleaseError(f"no wheels in {wheels}: run `python -m release build` first")
    scratch = Path(tempfile.mkdtemp(prefix=f"gemmahub-try-{way}-"))
    try:
        trial = Trial(scratch, wheels)
        start = time.monotonic()
        python = WAYS[way](trial)
        installed = time.monotonic() - start
        where = trial.run(python, "-P", "-c", "import gemmahub; print(gemmahub.__file__)").strip()
        if Path(where).is_relative_to(ROOT) or not Path(where).is_relative_to(scratch):
            raise ReleaseError(f"gemmahub comes from {where}, not from its wheel")
        _compare(wheels, Path(where).parents[1])
        program = trial.scripts / ("gemmahub.exe" if os.name == "nt" else "gemmahub")
        said = trial.run(program, "--version").strip()
        rows = json.loads(trial.run(program, "plugins", "--json"))["plugins"]
        broken = [f"{row['name']} ({row['state']}): {row['remarks']}" for row in rows]
        broken = [text for row, text in zip(rows, broken, strict=True) if row["state"] != "ok"]
        if broken:
            raise ReleaseError(f"by {way}: these plugins do not work: {'; '.join(broken)}")
        start = time.monotonic()
        answer = trial.run(program, "run", MODEL, QUESTION, *_SHORT).strip()
        took = time.monotonic() - start
        if not answer:
            raise ReleaseError(f"by {way}: {MODEL} gave no answer")
        say(f"{way}: {said}, {len(rows)} plugins; installed in {installed:.0f} s")
        say(f"{way}: {QUESTION!r} was answered in {took:.0f} s: {answer!r}")
        return answer
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
