"""How the Python environment that gemmahub runs in gets and loses distributions.

Who made an environment has to change it: what pip puts into the environment of a tool or of a
project, uv and pipx take out again, and a system's Python belongs to the system.
"""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
import tomllib
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GemmahubError
from gemmahub.text import one_line
from gemmahub.text.command import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN: Final = {"name", "extras", "specifier", "marker"}


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """An environment: ``kind`` in words, the command without the names, for both ways.

    ``others`` is what a uv tool was installed with besides gemmahub, requirements by normal name:
    each command has to name them again. ``variables`` are added to the environment of the command.
    ``checkout`` is the folder of gemmahub's own source where that is the project.
    """

    kind: str
    adds: tuple[str, ...]
    removes: tuple[str, ...]
    others: Mapping[str, str] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""
    checkout: str = ""

    def install(self, requirement: str, name: str) -> list[str]:
        """The command that installs a distribution, of that normal name where it is known."""
        if self.others is None:
            return [*self.adds, requirement]
        others = [other for known, other in self.others.items() if known != name]
        return [*self.adds, *_with([*others, requirement])]

    def uninstall(self, name: str) -> list[str]:
        """The command that removes a distribution, by its normal name."""
        if not self.removes:
            return []
        if self.others is None:
            return [*self.removes, name]
        return [*self.removes, *_with([o for known, o in self.others.items() if known != name])]

    def ready(self, command: list[str]) -> list[str]:
        """The command with the path of its program, to be run.

        Raises: GemmahubError, whose hint is the command, where it must not be run from here.
        """
        line = quoted(command) or "remove it with the tool that installed it"
        if self.refusal:
            raise GemmahubError(self.refusal, line)
        program = shutil.which(command[0])
        if program is None:
            what = f"gemmahub is installed as {self.kind}, and there is no {command[0]} on PATH"
            raise GemmahubError(what, line)
        return [program, *command[1:]]


def python_environment() -> PythonEnvironment:
    """The environment of this interpreter."""
    prefix = Path(sys.prefix)
    if (receipt := prefix / "uv-receipt.toml").is_file():
        return _uv_tool(prefix, receipt)
    if (metadata := prefix / "pipx_metadata.json").is_file():
        return _pipx(prefix, metadata)
    if (prefix / "conda-meta").is_dir():
        return _with_pip("a conda environment")
    if (project := _uv_project(prefix)) is not None:
        at, own = ("--project", str(project)), str(project) if _is_own(project) else ""
        adds, removes = ("uv", "add", *at), ("uv", "remove", *at)
        return PythonEnvironment("a uv project", adds, removes, checkout=own)
    if sys.prefix != sys.base_prefix:
        return _with_pip("a virtual environment")
    if (Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").is_file():
        return PythonEnvironment(
            "a package of the system's Python",
            ("uv", "tool", "install", "gemmahub"),
            (),
            {},
            refusal="this Python belongs to the system and may not be changed (PEP 668): install "
            "gemmahub with its plugins as a separate tool",
        )
    return _with_pip("a package of this Python")


def _with_pip(kind: str) -> PythonEnvironment:
    python = sys.executable
    if find_spec("pip") is not None:
        pip = (python, "-P", "-m", "pip")  # no pip.py of the current folder
        return PythonEnvironment(kind, (*pip, "install"), (*pip, "uninstall", "--yes"))
    return PythonEnvironment(
        kind,
        ("uv", "pip", "install", "--python", python),
        ("uv", "pip", "uninstall", "--python", python),
    )


def _pipx(prefix: Path, metadata: Path) -> PythonEnvironment:
    name = prefix.name
    try:
        main = json.loads(metadata.read_bytes())["main_package"]
        name = f"{main['package']}{main.get('suffix') or ''}"
    except (OSError, ValueError, LookupError, TypeError):
        pass  # the folder has the same name
    home = {"PIPX_HOME": str(prefix.parent.parent)} if prefix.parent.name == "venvs" else {}
    return PythonEnvironment(
        "a pipx application",
        ("pipx", "inject", name),
        ("pipx", "uninject", name),
        variables=home,
    )


def _uv_tool(prefix: Path, receipt: Path) -> PythonEnvironment:
    refusal, first = "", "gemmahub"
    others: dict[str, str] = {}
    variables = {"UV_TOOL_DIR": str(prefix.parent)}
    try:
        tool = tomllib.loads(receipt.read_text(encoding="utf-8"))["tool"]
        if tool.get("options"):
            raise ValueError("it was installed with special options")
        others = {normal_name(entry["name"]): _requirement(entry) for entry in tool["requirements"]}
        first = others.pop("gemmahub")
        for entry in tool.get("entrypoints", ()):
            variables["UV_TOOL_BIN_DIR"] = str(Path(entry["install-path"]).parent)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = one_line(str(error))
        refusal = f"how uv installed gemmahub cannot be repeated ({receipt}: {reason})"
    command = ("uv", "tool", "install", first)
    return PythonEnvironment("a uv tool", command, command, others, variables, refusal)


def _requirement(entry: Mapping[str, Any]) -> str:
    """A requirement of a receipt as it is written on the command line. Raises: ValueError."""
    if set(entry) <= _PLAIN:
        extras = f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""
        marker = f"; {entry['marker']}" if entry.get("marker") else ""
        return f"{entry['name']}{extras}{entry.get('specifier', '')}{marker}"
    for kind in ("directory", "path", "url"):
        if set(entry) == {"name", kind}:
            return f"{entry['name']} @ {entry[kind]}" if kind == "url" else str(entry[kind])
    raise ValueError(f"{entry['name']} comes from {', '.join(sorted(set(entry) - _PLAIN))}")


def _uv_project(prefix: Path) -> Path | None:
    """The project whose environment this is: uv's name for it, in a folder with uv's lock."""
    folder = prefix.parent
    if prefix.name == ".venv" and (folder / "uv.lock").is_file():
        return folder if (folder / "pyproject.toml").is_file() else None
    return None


def _is_own(project: Path) -> bool:
    """Whether a project is gemmahub itself, whose dependencies nobody adds to."""
    try:
        with (project / "pyproject.toml").open("rb") as file:
            name = tomllib.load(file)["project"]["name"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return bool(name == "gemmahub")


def _with(requirements: list[str]) -> list[str]:
    return [word for requirement in requirements for word in ("--with", requirement)]


def normal_name(name: str) -> str:
    """The name of a distribution as all that mean it agree to write it (PEP 503)."""
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(name))
