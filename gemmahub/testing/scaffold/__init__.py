"""Writes the beginning of a plugin: a distribution that installs and passes the conformance kit.

The files lie in ``plugin/`` as they are written, those of each kind in a folder of its own, with
``NAME`` for the plugin's name, ``PACKAGE`` for its package, and ``CLASS`` for the beginning of its
classes' names.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from gemmahub.errors import GemmahubError, UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_WORD: Final = re.compile(r"\bNAME\b|\bPACKAGE\b|CLASS|VERSION_RANGE|VARIABLE")
_LONGEST: Final = 40
_TEMPLATES: Final = Path(__file__).parent / "plugin"

# where it is written -> where it lies here
_OF_ALL: Final = {
    "pyproject.toml": "pyproject.toml.txt",
    ".gitignore": "gitignore.txt",
    "PACKAGE/py.typed": "",
}


class _Kind(NamedTuple):
    """The files of a kind of plugin besides README, hooks and conformance tests, and the command
    that tries it."""

    files: tuple[str, ...]
    attempt: str


_OF_KIND: Final = {
    "backend": _Kind(
        ("backend.py", "test_backend.py"), 'gemmahub run MODEL "say it again" --backend NAME'
    ),
    "server": _Kind(("backend.py",), 'gemmahub run NAME://MODEL "say it again"'),
    "store": _Kind(("store.py",), "gemmahub list"),
    "source": _Kind(("source.py",), "gemmahub inspect NAME://tiny"),
    "command": _Kind(("test_command.py",), "gemmahub NAME"),
}

KINDS: Final = tuple(_OF_KIND)


@dataclass(frozen=True, slots=True)
class NewPlugin:
    """A plugin that is to be written: its folder, the files in it with their text, and the command
    that tries it once it is installed."""

    name: str
    folder: Path
    files: dict[PurePosixPath, str]
    attempt: str

    @property
    def distribution(self) -> str:
        """What is installed: ``gemmahub-demo``."""
        return f"gemmahub-{self.name}"

    def write(self) -> None:
        """Write the files into a folder that must not exist yet.

        Raises: UsageError when it exists; GemmahubError when it cannot be written, and then
        nothing stays behind.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir()
        except FileExistsError:
            raise _exists(self.folder) from None
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        try:
            for name, text in self.files.items():
                path = self.folder / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise _unwritable(self.folder, error) from None


def new_plugin(
    name: str, folder: Path, *, taken: Collection[str], version: str, kind: str = "backend"
) -> NewPlugin:
    """A plugin of that name and kind (see :data:`KINDS`) in ``folder / gemmahub-NAME``. Nothing is
    written yet.

    ``taken`` are the names of plugins, backends and distributions that are installed; ``version``
    is that of this gemmahub.

    Raises: UsageError for a name that cannot be one or is taken, and for a folder that exists.
    """
    _check_name(name)
    package = f"gemmahub_{name.replace('-', '_')}"
    if {name, f"gemmahub-{name}"} & set(taken) or find_spec(package) is not None:
        raise UsageError(
            f"a plugin {name!r} is already installed",
            "choose another name; gemmahub plugins shows the existing ones",
        )
    target = folder / f"gemmahub-{name}"
    if target.exists() or target.is_symlink():
        raise _exists(target)
    words = {
        "NAME": name,
        "PACKAGE": package,
        "CLASS": "".join(part.capitalize() for part in name.split("-")),
        "VARIABLE": package.removeprefix("gemmahub_").upper(),
        "VERSION_RANGE": _version_range(version),
    }
    return NewPlugin(
        name,
        target,
        {
            PurePosixPath(path.replace("PACKAGE", package)): _fill(template, words)
            for path, template in _files(kind).items()
        },
        _OF_KIND[kind].attempt.replace("NAME", name),
    )


def _files(kind: str) -> dict[str, str]:
    found = _OF_ALL | {
        "README.md": f"{kind}/README.md.txt",
        "PACKAGE/__init__.py": f"{kind}/init.py.txt",
        "tests/test_conformance.py": f"{kind}/test_conformance.py.txt",
    }
    for name in _OF_KIND[kind].files:
        place = "tests" if name.startswith("test_") else "PACKAGE"
        found[f"{place}/{name}"] = f"{kind}/{name}.txt"
    return found


def _check_name(name: str) -> None:
    if name.startswith(("gemmahub-", "gemmahub_")):
        short = one_line(name[len("gemmahub-") :])
        raise UsageError(
            "the name of a plugin is given without gemmahub-", f"try: gemmahub plugins new {short}"
        )
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{one_line(name)!r} cannot be the name of a plugin",
            "small letters, digits and single hyphens, a letter first, up to "
            f"{_LONGEST} of them: my-engine",
        )


def _fill(template: str, words: dict[str, str]) -> str:
    if not template:
        return ""
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    return _WORD.sub(lambda match: words[match.group()], text)


def _version_range(version: str) -> str:
    """This release and its patches: before 1.0 a minor release may change the contract."""
    major, minor = (int(part) for part in version.split(".")[:2])
    upper = f"0.{minor + 1}" if major == 0 else f"{major + 1}"
    return f">={major}.{minor},<{upper}"


def _exists(folder: Path) -> UsageError:
    return UsageError(
        f"{folder} exists already and is not overwritten",
        "choose another name or --folder, or remove it first",
    )


def _unwritable(folder: Path, error: OSError) -> GemmahubError:
    return GemmahubError(
        f"cannot write {folder}: {error.strerror}", "choose another place with --folder"
    )
