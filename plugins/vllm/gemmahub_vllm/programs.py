"""Where the program ``vllm`` is: the setting, else the PATH. It is not started to find that out:
its imports take half a minute."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gemmahub.engines.contract import Setting
from gemmahub.engines.plugin_settings import settings_of
from gemmahub.errors import BackendMissing
from gemmahub.text import one_line

CHECKED_VERSION: Final = "0.32.0"
"""The newest whose server was started here; rules of memory are those of 0.33.0."""
SETTINGS: Final = (
    Setting("program", "the vllm to use: a path, or a name on the PATH", default=""),
    Setting("servers", "address of each running server, by name", dict[str, str], {}),
    Setting("key", "API key of these servers", secret=True, env="VLLM_API_KEY"),
)
INSTALL: Final = (
    "install it in a separate environment: uv tool install vllm; then gemmahub config set "
    "plugins.vllm.program PATH, if it is not on the PATH"
)


@dataclass(frozen=True, slots=True)
class VllmProgram:
    """The program, and the version of the package that it belongs to; empty where it is unknown."""

    path: Path
    version: str


def find_program() -> VllmProgram:
    """The program to use.

    Raises: BackendMissing; UsageError for a setting that is none.
    """
    wanted = settings_of("vllm", SETTINGS)["program"]
    found = shutil.which(str(Path(wanted).expanduser()) if wanted else "vllm")
    if found is None:
        if wanted:
            raise BackendMissing(
                f"{one_line(wanted, 200)} is not a program; it comes from the setting "
                "plugins.vllm.program",
                INSTALL,
            )
        raise BackendMissing("there is no program vllm on the PATH", INSTALL)
    return VllmProgram(Path(found), _version(Path(found)))


def _version(program: Path) -> str:
    """By the name of the package's folder beside the program, which costs nothing to read."""
    root = program.resolve().parent.parent
    for folder in sorted(root.glob("lib/python3*/site-packages/vllm-*.dist-info")):
        return one_line(folder.name.removeprefix("vllm-").removesuffix(".dist-info"), 40)
    return ""
