"""A folder for Windows that needs nothing else: Python, gemmahub, llama-server and a launcher.

Built on any system: the wheels for Windows are only unpacked. Python itself is python.org's
"embeddable package" for x64, which has to be fetched before and is named on the command line.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from release import ReleaseError
from release.distributions import distributions

if TYPE_CHECKING:
    from collections.abc import Callable

_PLATFORM: Final = "x86_64-pc-windows-msvc"
_PTH: Final = re.compile(r"python3(\d+)\._pth")
_MAIN: Final = b"""\
import sys
from gemmahub.cli.main import main
sys.exit(main())
"""
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)  # the first date of a zip: two archives are the same


def make_archive(wheels: Path, python_zip: Path, say: Callable[[str], None]) -> Path:
    """``gemmahub-VERSION-windows-x64.zip`` beside the wheels. Raises: ReleaseError."""
    version = distributions()[0].version
    target = wheels / f"gemmahub-{version}-windows-x64.zip"
    with tempfile.TemporaryDirectory(prefix="gemmahub-windows-") as scratch:
        folder = Path(scratch) / "gemmahub"
        minor = _unpack_python(python_zip, folder)
        packages = folder / "Lib" / "site-packages"
        done = subprocess.run(
            [
                "uv", "pip", "install", "--quiet", "--target", packages, "--no-compile-bytecode",
                "--python-platform", _PLATFORM, "--python-version", f"3.{minor}",
                "--only-binary", ":all:", "--link-mode", "copy", "--find-links", wheels,
                f"gemmahub[server]=={version}",
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise ReleaseError(f"the wheels for Windows cannot be installed:\n{done.stdout}")
        shutil.rmtree(packages / "bin", ignore_errors=True)  # scripts with paths of this machine
        (folder / "gemmahub.exe").write_bytes(_launcher(Path(scratch)))
        _pack(folder, target)
    say(f"{target}: {target.stat().st_size / 1e6:.0f} MB, Python 3.{minor}, not run here")
    return target


def _unpack_python(python_zip: Path, folder: Path) -> int:
    """Unpack Python and let it see ``Lib/site-packages``; its minor version."""
    with zipfile.ZipFile(python_zip) as archive:
        names = [name for name in archive.namelist() if _PTH.fullmatch(name)]
        if len(names) != 1 or "python.exe" not in archive.namelist():
            raise ReleaseError(f"{python_zip} is no embeddable package of Python for Windows")
        archive.extractall(folder)
    found = _PTH.fullmatch(names[0])
    assert found is not None
    # With this file Python takes its paths from here alone: no variable and no registry.
    stem = names[0].removesuffix("._pth")
    lines = [f"{stem}.zip", ".", "Lib\\site-packages", "import site"]
    (folder / names[0]).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(found[1])


def _launcher(scratch: Path) -> bytes:
    """distlib's launcher, which starts the python.exe beside it with the program behind it."""
    try:
        launcher = files("distlib").joinpath("t64.exe").read_bytes()
    except ModuleNotFoundError:
        raise ReleaseError("distlib is not here: uv sync --group release") from None
    archive = scratch / "main.zip"
    with zipfile.ZipFile(archive, "w") as program:
        program.writestr(zipfile.ZipInfo("__main__.py", _EARLIEST), _MAIN)
    return launcher + b"#!<launcher_dir>\\python.exe\r\n" + archive.read_bytes()


def _pack(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder.parent).as_posix(), _EARLIEST)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, path.read_bytes())
