"""Wheels of small plugins, made by hand, and an environment to install them into."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

GOOD = """
from gemmahub import hookimpl
from gemmahub.engines.contract import Availability, Backend

class DemoBackend(Backend):
    name = "demo"
    formats = ("gguf",)
    def availability(self):
        return Availability(True, version="1")

@hookimpl
def gemmahub_backends():
    return [DemoBackend()]
"""


def write_wheel(folder: Path, name: str, code: str, needs: str = "", point: bool = True) -> Path:
    """A wheel of a distribution with one module, which is a plugin where ``point`` says so."""
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    files = {
        f"{module}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    if point:
        plugin = name.removeprefix("gemmahub-")
        files[f"{info}/entry_points.txt"] = f"[gemmahub]\n{plugin} = {module}\n"
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inner, text in files.items():
            wheel.writestr(inner, text)
    return path


def make_environment(folder: Path) -> Path:
    """A virtual environment with pip that sees this one's distributions; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    python = folder / "bin" / "python"
    shown = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    places = [sysconfig.get_path("purelib"), ROOT, *sorted((ROOT / "plugins").iterdir())]
    (Path(shown.stdout.strip()) / "these.pth").write_text("".join(f"{p}\n" for p in places))
    return python


def gemmahub(python: Path, wheels: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of gemmahub in that environment, where pip knows these wheels and no index."""
    environment = {
        **os.environ,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "GEMMAHUB_PLUGINS": "demo,other",
    }
    return subprocess.run(
        [python, "-m", "gemmahub", *words],
        capture_output=True, text=True, env=environment, timeout=300, check=False,
    )  # fmt: skip
