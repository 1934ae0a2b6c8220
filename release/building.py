"""Build every distribution twice and see that the files are the same, byte for byte."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from release import ReleaseError
from release.distributions import ROOT, disagreements, distributions

if TYPE_CHECKING:
    from collections.abc import Callable

SUMS: Final = "SHA256SUMS"
CONSTRAINTS: Final = Path(__file__).with_name("build-constraints.txt")

# What may differ between two machines that build the same commit.
_HERE: Final = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}
_ELSEWHERE: Final = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "2"}


def build(folder: Path, say: Callable[[str], None], *, changes: bool = False) -> list[Path]:
    """The sdists and wheels of all distributions and ``SHA256SUMS``, in an empty folder.

    Each wheel is built from its sdist, from a copy of the files that git tracks. With ``changes``
    the files may differ from the last commit. Raises: ReleaseError.
    """
    if wrong := disagreements():
        raise ReleaseError("; ".join(wrong) + "\n`python -m release version X.Y.Z` sets them all")
    if not changes and (dirty := _git("status", "--porcelain")):
        raise ReleaseError(f"commit these first, or build with --changes:\n{dirty}")
    if folder.exists() and any(folder.iterdir()):
        raise ReleaseError(f"{folder} is not empty: remove it, or name another folder with --out")
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct")
    with tempfile.TemporaryDirectory(prefix="gemmahub-build-") as scratch:
        first, second = Path(scratch) / "first", Path(scratch) / "a second, longer name"
        say(f"build {len(distributions())} distributions (SOURCE_DATE_EPOCH={epoch})")
        sums = _build_once(first, {**_HERE, "SOURCE_DATE_EPOCH": epoch}, 0o022)
        say("build them again: another folder, time zone, locale, hash seed and umask")
        again = _build_once(second, {**_ELSEWHERE, "SOURCE_DATE_EPOCH": epoch}, 0o077)
        if sums != again:
            differ = sorted(name for name in sums | again if sums.get(name) != again.get(name))
            raise ReleaseError(f"two builds of the same files differ: {', '.join(differ)}")
        wanted = sorted(name for d in distributions() for name in d.files)
        if sorted(sums) != wanted:
            odd = ", ".join(sorted(set(sums) ^ set(wanted)))
            raise ReleaseError(f"these files were not built, or were not expected: {odd}")
        folder.mkdir(parents=True, exist_ok=True)
        built = [Path(shutil.copy(first / "out" / name, folder / name)) for name in wanted]
    lines = "".join(f"{sums[name]}  {name}\n" for name in wanted)
    (folder / SUMS).write_text(lines, encoding="utf-8", newline="\n")
    say(f"{len(built)} files in {folder}: both builds are the same, byte for byte")
    return built


def _build_once(scratch: Path, environment: dict[str, str], umask: int) -> dict[str, str]:
    """The sha256 of each file that is built there, by name."""
    source, out = scratch / "source", scratch / "out"
    for name in _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    command = ["uv", "build", "--quiet", "--all-packages", "--build-constraints", str(CONSTRAINTS)]
    done = subprocess.run(
        [*command, "--out-dir", str(out), str(source)],
        env={**os.environ, **environment}, umask=umask, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ReleaseError(f"uv build failed:\n{done.stdout.strip()}")
    files = [path for path in out.iterdir() if path.suffix in (".gz", ".whl")]
    return {path.name: sha256(path) for path in files}


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode:
        raise ReleaseError(f"git {words[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()
