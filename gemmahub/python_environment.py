"""How the Python environment that gemmahub runs in gets and loses distributions.

Who made an environment has to change it: what pip puts into the environment of a tool or of a
project, uv and pipx take out again, and a system's Python belongs to the system.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GemmahubError
from gemmahub.text import one_line
from gemmahub.text.command import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN: Final = {"name", "extras", "specifier", "marker"}
_PIP_REBUILDS: Final = ("install", "--force-reinstall", "--no-cache-dir", "--no-binary", "{}")
_UV_REBUILDS: Final = ("--reinstall-package", "{}", "--no-cache", "--no-binary-package", "{}")


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """An environment: ``kind`` in words, the command without the names, for each way.

    ``rebuilds`` has ``{}`` where the name of what is compiled again stands. ``others`` is what a uv
    tool was installed with besides gemmahub, requirements by normal name: each command has to name
    them again, after ``first``. ``members`` are distributions of the checkout that this is.
    ``variables`` are added to the environment of the command.
    """

    kind: str
    adds: tuple[str, ...]
    removes: tuple[str, ...]
    updates: tuple[str, ...] = ()
    rebuilds: tuple[str, ...] = ()
    first: str = ""
    others: Mapping[str, str] | None = None
    members: frozenset[str] = frozenset()
    variables: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""

    def install(self, requirement: str, name: str) -> list[str]:
        """The command that installs a distribution, of that normal name where it is known."""
        if name in self.members:
            return [*self.adds, *_of_checkout(requirement, name)]
        if self.members:
            return ["uv", "pip", "install", "--python", sys.executable, requirement]
        return self._naming(self.adds, requirement, name)

    def update(self, requirement: str, name: str) -> list[str]:
        """The command that gets a newer version of what is installed."""
        return self._naming(self.updates or self.adds, requirement, name)

    def rebuild(self, requirement: str, name: str) -> list[str]:
        """The command that compiles a distribution again, whatever has been kept of it."""
        return self._naming(tuple(w.format(name) for w in self.rebuilds), requirement, name)

    def uninstall(self, name: str) -> list[str]:
        """The command that removes a distribution, by its normal name."""
        if not self.removes:
            return []
        if self.others is None:
            return [*self.removes, name]
        others = [other for known, other in self.others.items() if known != name]
        return [*self.removes, self.first, *_with(others)]

    def _naming(self, command: tuple[str, ...], requirement: str, name: str) -> list[str]:
        if self.others is None:
            return [*command, requirement]
        if name == "gemmahub":
            return [*command, _joined(self.first, requirement), *_with([*self.others.values()])]
        others = [other for known, other in self.others.items() if known != name]
        return [*command, self.first, *_with([*others, requirement])]

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


def install_command(requirement: str) -> str:
    """What a person types to install a distribution into the environment that gemmahub is in.

    Every hint that says how to install something gets its command here: pip, where uv or pipx made
    the environment, would put it where gemmahub does not look.
    """
    return _typed(python_environment().install(requirement, _name_in(requirement)))


def update_command(requirement: str) -> str:
    """As :func:`install_command`, for a newer version of what is installed."""
    return _typed(python_environment().update(requirement, _name_in(requirement)))


def rebuild_command(requirement: str) -> str:
    """As :func:`install_command`, for what has to be compiled again, with other options."""
    return _typed(python_environment().rebuild(requirement, _name_in(requirement)))


def _typed(command: list[str]) -> str:
    """The command as short as the shell allows: an activated environment is the one meant."""
    active = (os.environ.get("VIRTUAL_ENV"), os.environ.get("CONDA_PREFIX"))
    if sys.prefix in active:
        if command[:4] == [sys.executable, "-P", "-m", "pip"]:
            command = ["pip", *command[4:]]
        elif command[:2] == ["uv", "pip"] and command[3:5] == ["--python", sys.executable]:
            command = [*command[:3], *command[5:]]
    return quoted(command)


def _name_in(requirement: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return normal_name(Requirement(requirement).name)
    except InvalidRequirement:
        return ""  # a stranger's distribution, whatever it calls itself


def _joined(first: str, requirement: str) -> str:
    """A requirement on gemmahub with the extras of both, and the range of the one that has one."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        old, new = Requirement(first), Requirement(requirement)
    except InvalidRequirement:
        return requirement  # the tool was installed from a folder or a file
    if old.url:
        return first
    new.extras |= old.extras
    new.specifier = new.specifier if str(new.specifier) else old.specifier
    return str(new)


def _of_checkout(requirement: str, name: str) -> list[str]:
    """What names a member of the workspace, and its extras, to ``uv sync``."""
    from packaging.requirements import Requirement

    extras = [w for extra in sorted(Requirement(requirement).extras) for w in ("--extra", extra)]
    return extras if name == "gemmahub" else ["--package", name, *extras]


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
        return _in_project(project)
    if sys.prefix != sys.base_prefix:
        return _with_pip("a virtual environment")
    import sysconfig

    if (Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").is_file():
        return PythonEnvironment(
            "a package of the system's Python",
            ("uv", "tool", "install"),
            (),
            rebuilds=("uv", "tool", "install", *_UV_REBUILDS),
            first="gemmahub",
            others={},
            refusal="this Python belongs to the system and may not be changed (PEP 668): install "
            "gemmahub with its plugins as a separate tool",
        )
    return _with_pip("a package of this Python")


def _with_pip(kind: str) -> PythonEnvironment:
    python = sys.executable
    if find_spec("pip") is not None:
        pip = (python, "-P", "-m", "pip")  # no pip.py of the current folder
        return PythonEnvironment(
            kind,
            (*pip, "install"),
            (*pip, "uninstall", "--yes"),
            (*pip, "install", "--upgrade"),
            (*pip, *_PIP_REBUILDS),
        )
    uv, at = ("uv", "pip"), ("--python", python)
    return PythonEnvironment(
        kind,
        (*uv, "install", *at),
        (*uv, "uninstall", *at),
        (*uv, "install", *at, "--upgrade"),
        (*uv, "install", *at, *_UV_REBUILDS),
    )


def _in_project(folder: Path) -> PythonEnvironment:
    """Of a project, ``uv add`` writes what is added into its pyproject.toml; a checkout of gemmahub
    has everything in it already, so that uv only has to be told to install it.
    """
    at = ("--project", str(folder))
    synced = ("uv", "sync", *at, "--inexact")
    project = PythonEnvironment(
        "a uv project",
        ("uv", "add", *at),
        ("uv", "remove", *at),
        (*synced, "--upgrade-package"),
        ("uv", "pip", "install", "--python", sys.executable, *_UV_REBUILDS),
    )
    if not (folder / "gemmahub" / "python_environment.py").is_file():
        return project
    plugins = (f"gemmahub-{path.parent.name}" for path in folder.glob("plugins/*/pyproject.toml"))
    return replace(
        project,
        kind="a checkout of gemmahub",
        adds=synced,
        removes=("uv", "pip", "uninstall", "--python", sys.executable),
        members=frozenset(("gemmahub", *plugins)),
    )


def _pipx(prefix: Path, metadata: Path) -> PythonEnvironment:
    import json

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
        ("pipx", "runpip", name, "install", "--upgrade"),
        ("pipx", "runpip", name, *_PIP_REBUILDS),
        variables=home,
    )


def _uv_tool(prefix: Path, receipt: Path) -> PythonEnvironment:
    import tomllib

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
    command = ("uv", "tool", "install")
    return PythonEnvironment(
        "a uv tool",
        command,
        command,
        (*command, "--upgrade"),
        (*command, *_UV_REBUILDS),
        first=first,
        others=others,
        variables=variables,
        refusal=refusal,
    )


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


def _with(requirements: list[str]) -> list[str]:
    return [word for requirement in requirements for word in ("--with", requirement)]


def normal_name(name: str) -> str:
    """The name of a distribution as all that mean it agree to write it (PEP 503)."""
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(name))
