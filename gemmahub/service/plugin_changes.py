"""The use case: plugins come into gemmahub's own environment, and leave it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.installed import GROUP
from gemmahub.errors import GemmahubError, NotFound, UsageError
from gemmahub.python_environment import (
    PythonEnvironment,
    normal_name,
    python_environment,
)
from gemmahub.service.one_plugin import unknown_plugin
from gemmahub.service.setting_changes import set_setting, unset_setting
from gemmahub.text import one_line
from gemmahub.text.command import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.service.installation import Installation

_PREFIX: Final = "gemmahub-"
_LOOK_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class PluginChange:
    """What is going to be done: a command of whoever made the environment.

    ``distribution`` is the normal name of what comes or goes, empty for a file or an address.
    """

    environment: PythonEnvironment
    distribution: str
    command: list[str]

    @property
    def line(self) -> str:
        """The command as a person types it."""
        return quoted(self.command)

    def carry_out(self, tell: Callable[[str], None]) -> None:
        """Run the command; ``tell`` hears what it says, line by line.

        Raises: GemmahubError, whose hint is the command, where it cannot be run or failed.
        """
        command = self.environment.ready(self.command)
        variables = {**os.environ, **self.environment.variables}
        try:
            process = subprocess.Popen(
                command, env=variables, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            )  # fmt: skip
        except OSError as error:
            what = f"{command[0]} cannot be started: {error.strerror}"
            raise GemmahubError(what, self.line) from None
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                tell(line.rstrip())
        if process.returncode:
            what = f"{Path(command[0]).name} ended with exit code {process.returncode}"
            raise GemmahubError(what, f"see its output above; the command was: {self.line}")


def plan_install(wanted: str) -> PluginChange:
    """How a plugin is installed: a requirement (``ollama``, ``gemmahub-ollama>=0.1``), a wheel, a
    folder or an address. A name without ``gemmahub-`` gets it.

    Raises: UsageError for what is none of these.
    """
    environment = python_environment()
    requirement, name = _requirement(wanted)
    return PluginChange(environment, name, environment.install(requirement, name))


def plan_uninstall(here: Installation, wanted: str) -> PluginChange:
    """How a plugin is removed, by its own name or that of its distribution.

    Raises: NotFound; UsageError for what is no plugin, or is needed by something else.
    """
    environment = python_environment()
    name = _installed(here, wanted)
    if needed := _needed_by(name):
        what = f"{name} is needed by {', '.join(needed)}"
        raise UsageError(what, f"gemmahub plugins disable {one_line(wanted)} leaves it out")
    return PluginChange(environment, name, environment.uninstall(name))


def rows_of_fresh_start() -> list[dict[str, Any]]:
    """All plugins as another interpreter loads them now, as ``gemmahub plugins --json`` says it.

    Raises: GemmahubError.
    """
    command = [sys.executable, "-P", "-m", "gemmahub", "plugins", "--json"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LOOK_SECONDS, check=False)
        rows: list[dict[str, Any]] = json.loads(done.stdout)["plugins"]
    except (OSError, ValueError, LookupError, TypeError, subprocess.TimeoutExpired) as error:
        what = f"gemmahub no longer starts: {one_line(f'{type(error).__name__}: {error}')}"
        raise GemmahubError(what, "run gemmahub doctor for details") from None
    return rows


def rows_that_came(
    before: list[dict[str, Any]], after: list[dict[str, Any]], distribution: str
) -> list[dict[str, Any]]:
    """Of the plugins those that an installation brought: of that distribution, else new ones."""
    if distribution:
        return [row for row in after if normal_name(row["distribution"]) == distribution]
    return [row for row in after if row not in before]


def disable(here: Installation, name: str) -> None:
    """Leave a plugin out from the next command on. Raises: NotFound."""
    set_setting(here, f"plugins.{_plugin(here, name)}.enabled", "false")


def enable(here: Installation, name: str) -> bool:
    """Load a plugin again; whether it was disabled. Raises: NotFound."""
    return unset_setting(here, f"plugins.{_plugin(here, name)}.enabled")


def _plugin(here: Installation, wanted: str) -> str:
    """The plugin with that name, or of that distribution."""
    records = here.plugins_manager.records
    for record in records:
        if wanted in (record.name, record.distribution):
            return record.name
    raise unknown_plugin(wanted, [record.name for record in records])


def _requirement(wanted: str) -> tuple[str, str]:
    """A requirement for the command line, and the normal name of its distribution."""
    from packaging.requirements import InvalidRequirement, Requirement

    if wanted.startswith("-") or not wanted.strip():
        raise UsageError(
            f"{one_line(wanted)!r} is not a plugin", "give a name, a wheel or a folder"
        )
    if re.match(r"[a-z+]+://", wanted):
        return wanted, ""
    path = Path(wanted)
    if path.suffix == ".whl" or os.sep in wanted:
        if not path.exists():
            raise NotFound(f"{one_line(wanted)} does not exist", "give a wheel, a folder or a name")
        return str(path.absolute()), ""
    try:
        found = Requirement(wanted)
    except InvalidRequirement as error:
        reason = one_line(str(error).splitlines()[0])
        raise UsageError(
            f"{one_line(wanted)!r} is not a plugin name: {reason}",
            "gemmahub plugins install ollama, or a wheel, a folder, an address",
        ) from None
    if not normal_name(found.name).startswith(_PREFIX):
        found.name = _PREFIX + found.name
    return str(found), normal_name(found.name)


def _installed(here: Installation, wanted: str) -> str:
    """The normal name of the distribution that a plugin is of."""
    plugins = {normal_name(d.name): d for d in distributions() if _has_plugin(d)}
    for record in here.plugins_manager.records:
        if record.name == wanted and normal_name(record.distribution) in plugins:
            return normal_name(record.distribution)
    for name in (normal_name(wanted), normal_name(_PREFIX + wanted)):
        if name in plugins:
            return name
    if normal_name(wanted) == "gemmahub" or normal_name(wanted) in {
        normal_name(d.name) for d in distributions()
    }:
        raise UsageError(f"{one_line(wanted)} is not a plugin of gemmahub", "nothing was removed")
    raise unknown_plugin(wanted, plugins)


def _has_plugin(distribution: Distribution) -> bool:
    return bool(distribution.entry_points.select(group=GROUP))


def _needed_by(name: str) -> list[str]:
    """The distributions here that cannot do without another one."""
    found = {d.name for d in distributions() for need in d.requires or () if _needs(need, name)}
    return sorted(other for other in found if normal_name(other) != name)


def _needs(text: str, name: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        need = Requirement(text)
    except InvalidRequirement:
        return False
    is_here = need.marker is None or need.marker.evaluate({"extra": ""})
    return normal_name(need.name) == name and is_here
