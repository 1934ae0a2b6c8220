"""Where gemma.cpp's program ``gemma`` is looked for, and what it says of itself.

Others are called ``gemma``, too: Debian's package of that name is a program for genetics. So each
is asked for its ``--help``, which names the arguments (google/gemma.cpp
gemma/gemma_args.h@70184189); gemma.cpp has no ``--version``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from gemmahub.engines.contract import Setting
from gemmahub.engines.plugin_settings import settings_of
from gemmahub.errors import BackendMissing
from gemmahub.text import one_line

SETTINGS: Final = (
    Setting("program", "gemma.cpp's program gemma: a path, or a name on the PATH", default=""),
)
SETTING: Final = "plugins.gemmacpp.program"
VARIABLE: Final = "GEMMA_CPP_PATH"
CHECKED: Final = "7018418"
"""The commit of google/gemma.cpp after whose sources this plugin was written (September 2025)."""
INSTALL: Final = (
    "no package has it: build it from https://github.com/google/gemma.cpp (cmake --preset make; "
    "cmake --build --preset make -j --target gemma), then put gemma on the PATH, or "
    f"`gemmahub config set {SETTING} /path/to/gemma`"
)

_NAMES: Final = ("gemma", "gemma.exe")
_FOLDERS: Final = ("", "build")
_NEEDED: Final = ("weights", "prompt_file", "max_generated_tokens", "verbosity")
_ASK_SECONDS: Final = 1.5
_MOST_HELP: Final = 1 << 18
_ARGUMENT: Final = re.compile(r"^\s*--([a-z][a-z0-9_]*)\s*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GemmaProgram:
    """A program that is gemma.cpp's ``gemma``; ``arguments`` are what its ``--help`` names."""

    path: str
    arguments: frozenset[str]


def find_program() -> GemmaProgram:
    """The program to use. One that a setting or the variable names has to work.

    Raises: BackendMissing, which says what is wrong with the one that was found; UsageError for a
    setting that is none.
    """
    for wanted, origin in (
        (settings_of("gemmacpp", SETTINGS)["program"], f"the setting {SETTING}"),
        (os.environ.get(VARIABLE, ""), VARIABLE),
    ):
        if wanted:
            try:
                return _named(wanted)
            except BackendMissing as error:
                raise BackendMissing(
                    f"{error.message}; it comes from {origin}", error.hint
                ) from None
    path = shutil.which("gemma")
    if path is None:
        raise BackendMissing("there is no program gemma on the PATH", INSTALL)
    return _asked(path)


def _named(wanted: str) -> GemmaProgram:
    try:
        path = Path(wanted).expanduser()
    except RuntimeError:  # there is no such user
        path = Path(wanted)
    inside = [path / folder / name for folder in _FOLDERS for name in _NAMES]
    candidates = [str(each) for each in (inside if path.is_dir() else [path])]
    if path.name == wanted:
        candidates.append(wanted)
    found = next(filter(None, map(shutil.which, candidates)), None)
    if found is None:
        raise BackendMissing(
            f"{one_line(wanted)} is neither a program nor a folder with one", INSTALL
        )
    return _asked(found)


def _asked(path: str) -> GemmaProgram:
    status = Path(path).stat()
    return _ask(os.path.realpath(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _ask(path: str, size: int, changed: int) -> GemmaProgram:
    """What the program's help names; asked again when the file is another."""
    shown = one_line(path)
    try:
        answer = subprocess.run(
            [path, "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_ASK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BackendMissing(f"{shown} does not answer --help", INSTALL) from None
    except OSError as error:
        what = f"{shown} cannot be started: {error.strerror or error}"
        raise BackendMissing(what, INSTALL) from None
    told = answer.stdout[:_MOST_HELP].decode("utf-8", "replace")
    arguments = frozenset(_ARGUMENT.findall(told))
    if "weights" not in arguments:
        raise BackendMissing(f"{shown} is not gemma.cpp's program of that name", INSTALL)
    if missing := [name for name in _NEEDED if name not in arguments]:
        what = f"{shown} is a gemma.cpp from before September 2025: it has no --{missing[0]}"
        raise BackendMissing(what, f"build a newer one; {INSTALL}")
    return GemmaProgram(path, arguments)
