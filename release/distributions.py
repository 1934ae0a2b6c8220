"""The distributions of this checkout, their one version and how they require each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomlkit
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from release import ReleaseError

ROOT: Final = Path(__file__).parents[1]
_VERSION_IN_CODE: Final = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_NAME: Final = re.compile(r"^gemmahub(?:-[a-z0-9]+)*(?:\[[^\]]*\])?")


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution: where it is, and its ``[project]`` table."""

    folder: Path
    project: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name on the index."""
        return str(self.project["name"])

    @property
    def version(self) -> str:
        """Its version as written."""
        return str(self.project["version"])

    @property
    def package(self) -> str:
        """The package that is imported."""
        return self.name.replace("-", "_")

    @property
    def files(self) -> tuple[str, str]:
        """The names of its sdist and of its wheel."""
        stem = f"{self.package}-{self.version}"
        return f"{stem}.tar.gz", f"{stem}-py3-none-any.whl"

    def requirements(self) -> list[Requirement]:
        """All requirements, those of the extras too."""
        extras = self.project.get("optional-dependencies", {})
        lists = [self.project.get("dependencies", []), *extras.values()]
        return [Requirement(str(line)) for lines in lists for line in lines]


def distributions(root: Path = ROOT) -> list[Distribution]:
    """gemmahub, then its plugins by name."""
    folders = [root, *sorted(path.parent for path in root.glob("plugins/*/pyproject.toml"))]
    found = []
    for folder in folders:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
        found.append(Distribution(folder, tomlkit.parse(text).unwrap()["project"]))
    return found


def version_in_code(root: Path = ROOT) -> str:
    """``gemmahub.__version__``, read and not imported."""
    found = _VERSION_IN_CODE.search((root / "gemmahub/__init__.py").read_text(encoding="utf-8"))
    if found is None:
        raise ReleaseError("gemmahub/__init__.py has no line __version__ = ...")
    return found[1]


def compatible(version: str) -> str:
    """The range of versions that work with this one: before 1.0 the minor series, then the major.

    Distributions of one range may be mixed: what a plugin needs of the core, and the core of a
    plugin, changes with the range only.
    """
    release = Version(version).release
    major, minor = release[0], release[1] if len(release) > 1 else 0
    return f">={major}.{minor},<{f'0.{minor + 1}' if major == 0 else major + 1}"


def disagreements(root: Path = ROOT) -> list[str]:
    """What is wrong with versions and ranges between the distributions; nothing is best."""
    known = distributions(root)
    version = known[0].version
    wrong = [f"{d.name} is {d.version}, not {version}" for d in known if d.version != version]
    if version_in_code(root) != version:
        wrong.append(f"gemmahub.__version__ is {version_in_code(root)}, not {version}")
    wanted, names = Requirement(f"x{compatible(version)}").specifier, {d.name for d in known}
    for distribution in known:
        for needed in distribution.requirements():
            if needed.name == distribution.name or not needed.name.startswith("gemmahub"):
                continue
            if needed.name not in names:
                wrong.append(f"{distribution.name} requires {needed.name}, which is not here")
            elif needed.specifier != wanted:
                wrong.append(f"{distribution.name} requires {needed}, not {needed.name}{wanted}")
    return wrong


def set_version(version: str, root: Path = ROOT) -> list[Path]:
    """Give all distributions this version, and their requirements of each other its range.

    Returns: the files that were changed. Raises: ReleaseError for what is no version.
    """
    try:
        version = str(Version(version))
    except InvalidVersion:
        raise ReleaseError(f"{version!r} is no version; one looks like 0.2.0 or 0.2.0rc1") from None
    changed = []
    for folder in [distribution.folder for distribution in distributions(root)]:
        path = folder / "pyproject.toml"
        before = path.read_text(encoding="utf-8")
        document = tomlkit.parse(before)
        project: Any = document["project"]
        project["version"] = version
        extras = project.get("optional-dependencies", {})
        for lines in [project.get("dependencies", []), *extras.values()]:
            for place, line in enumerate(lines):
                new = _with_range(str(line), str(project["name"]), version)
                if new != line:
                    lines[place] = new
        changed += _write(path, before, tomlkit.dumps(document))
    code = root / "gemmahub/__init__.py"
    before = code.read_text(encoding="utf-8")
    changed += _write(code, before, _VERSION_IN_CODE.sub(f'__version__ = "{version}"', before))
    return changed


def _with_range(line: str, own: str, version: str) -> str:
    found = _NAME.match(line)
    if found is None or Requirement(line).name == own:
        return line
    marker = line.partition(";")[2]
    return f"{found[0]}{compatible(version)}{f';{marker}' if marker else ''}"


def _write(path: Path, before: str, after: str) -> list[Path]:
    if before == after:
        return []
    path.write_text(after, encoding="utf-8", newline="\n")
    return [path]
