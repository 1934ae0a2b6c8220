"""What has to hold of the built files before they may be given to anybody."""

from __future__ import annotations

import email
import email.message
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from release import ReleaseError
from release.building import SUMS, sha256
from release.distributions import ROOT, Distribution, distributions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Kinds of files that a wheel may hold; a model, a picture or an archive is none of them.
_IN_WHEELS: Final = frozenset(
    (".py", ".typed", ".toml", ".tcss", ".txt", ".md", ".j2", ".html", ".js", ".woff2")
)
_MAN_PAGE: Final = re.compile(r"\.data/data/share/man/man1/gemmahub[a-z\-]*\.1")
_NEVER: Final = {"__pycache__", ".venv", ".git", "uv.lock", "node_modules", "dist", ".DS_Store"}
_CLASSIFIERS: Final = (
    "Development Status ::", "Programming Language :: Python :: 3.11", "Typing :: Typed",
)  # fmt: skip
_LARGEST: Final = 4_000_000
"""Bytes that a file may have: text only, the largest is the core's sdist with its pictures."""


def check(folder: Path, say: Callable[[str], None]) -> None:
    """Check the built files of a folder. Raises: ReleaseError with all that is wrong."""
    known = distributions()
    wrong = list(_wrong_sums(folder, [name for d in known for name in d.files]))
    if not wrong:
        for distribution in known:
            wrong += wrong_sdist(distribution, folder / distribution.files[0])
            wrong += wrong_wheel(distribution, folder / distribution.files[1])
    if wrong:
        raise ReleaseError("\n".join(wrong))
    say(f"contents and metadata of {2 * len(known)} files are right")
    files = [str(folder / name) for d in known for name in d.files]
    _tool(say, "twine", "check", "--strict", *files)
    _tool(say, "check_wheel_contents", *(name for name in files if name.endswith(".whl")))


def _wrong_sums(folder: Path, names: list[str]) -> Iterator[str]:
    path = folder / SUMS
    if not path.is_file():
        yield f"{path} is not there: run `python -m release build` first"
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    sums = {name: value for value, _, name in (line.partition("  ") for line in lines)}
    if sorted(sums) != sorted(names):
        yield f"{path} is of other files than this checkout has: build again"
        return
    for name, value in sums.items():
        if not (folder / name).is_file():
            yield f"{name} is in {SUMS} and not there"
        elif sha256(folder / name) != value:
            yield f"{name} is not the file that was built: its sha256 differs"


def wrong_wheel(distribution: Distribution, path: Path) -> Iterator[str]:
    """What is wrong with a wheel, a sentence each."""
    info = f"{distribution.package}-{distribution.version}.dist-info"
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        message = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
        yield from _wrong_metadata(distribution, path.name, message)
    for name in names:
        inner = PurePosixPath(name)
        if _MAN_PAGE.fullmatch(name.removeprefix(info.removesuffix(".dist-info"))):
            continue
        if inner.parts[0] not in (distribution.package, info):
            yield f"{path.name}: {name} is outside {distribution.package}"
        elif inner.parts[0] == info:
            continue
        elif "tests" in inner.parts or _NEVER & set(inner.parts):
            yield f"{path.name}: {name} does not belong into a wheel"
        elif inner.suffix not in _IN_WHEELS:
            yield f"{path.name}: {name} is of a kind that no wheel holds"
    for needed in (f"{distribution.package}/py.typed", f"{info}/licenses/LICENSE"):
        if needed not in names:
            yield f"{path.name}: {needed} is missing"
    yield from _missing(path.name, distribution, set(names))
    if path.stat().st_size > _LARGEST:
        yield f"{path.name} is larger than {_LARGEST:,} bytes"


def wrong_sdist(distribution: Distribution, path: Path) -> Iterator[str]:
    """What is wrong with a source distribution, a sentence each."""
    stem = f"{distribution.package}-{distribution.version}/"
    with tarfile.open(path) as archive:
        names = {member.name.removeprefix(stem) for member in archive if member.isfile()}
    for needed in ("pyproject.toml", "README.md", "LICENSE", "PKG-INFO"):
        if needed not in names:
            yield f"{path.name}: {needed} is missing"
    if not any(name.startswith("tests/") for name in names):
        yield f"{path.name}: the tests are missing"
    for name in names:
        parts = set(PurePosixPath(name).parts)
        if _NEVER & parts or name.endswith((".pyc", ".gguf", ".whl")):
            yield f"{path.name}: {name} does not belong into a source distribution"
        if distribution.folder == ROOT and name.startswith("plugins/"):
            yield f"{path.name}: {name} belongs to another distribution"
    yield from _missing(path.name, distribution, names)
    if path.stat().st_size > _LARGEST:
        yield f"{path.name} is larger than {_LARGEST:,} bytes"


def _missing(file: str, distribution: Distribution, names: set[str]) -> Iterator[str]:
    """Files of the package that git tracks and the built file lacks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", distribution.package],
        cwd=distribution.folder, capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if name not in names and (distribution.folder / name).is_file():
            yield f"{file}: {name} is missing"


def _wrong_metadata(
    distribution: Distribution, file: str, message: email.message.Message
) -> Iterator[str]:
    wanted = {
        "Name": distribution.name,
        "Version": distribution.version,
        "Requires-Python": ">=3.11",
        "License-Expression": "Apache-2.0",
        "Summary": str(distribution.project["description"]),
        "Description-Content-Type": "text/markdown",
    }
    for field, value in wanted.items():
        if message[field] != value:
            yield f"{file}: {field} is {message[field]!r}, not {value!r}"
    classifiers = message.get_all("Classifier", [])
    for start in _CLASSIFIERS:
        if not any(line.startswith(start) for line in classifiers):
            yield f"{file}: no classifier {start}"
    if distribution.name != "gemmahub" and not any(
        line.startswith("gemmahub<") for line in message.get_all("Requires-Dist", [])
    ):
        yield f"{file}: it does not say which gemmahub it needs"
    urls = distribution.project.get("urls", {})
    if len(message.get_all("Project-URL", [])) != len(urls) or message["Home-page"]:
        yield f"{file}: its addresses are not those of pyproject.toml"
    if not message.get_payload():
        yield f"{file}: it has no description"


def _tool(say: Callable[[str], None], module: str, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if "No module named" in done.stdout:
        raise ReleaseError(f"{module} is not here: uv sync --group release")
    if done.returncode:
        raise ReleaseError(f"{module} {words[0]}:\n{done.stdout.strip()}")
    say(f"{module}: nothing to object ({len([w for w in words if '.' in w])} files)")
