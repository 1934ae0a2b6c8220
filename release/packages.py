"""Fill the templates of ``packaging/`` with the hashes of built files and real addresses."""

from __future__ import annotations

import re
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any, Final

from packaging.requirements import Requirement

from release import ReleaseError
from release.building import sha256
from release.distributions import ROOT, Distribution, distributions

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATES: Final = (
    "homebrew/gemmahub.rb", "conda/recipe.yaml", "winget/gemmahub.yaml",
    "winget/gemmahub.locale.en-US.yaml", "winget/gemmahub.installer.yaml",
)  # fmt: skip
_WORD: Final = re.compile(r"(?:# )?@([A-Z][A-Z0-9_]*)(?: ([a-z][a-z0-9-]*))?@")
_ADDRESS: Final = re.compile(r"https://[a-z0-9.\-]+\.[a-z]+(?:/[\w.\-/]*[\w\-])?")
# What the package of conda has in it, and what conda-forge calls otherwise.
_INSIDE: Final = ("gemmahub", "gemmahub-lmstudio", "gemmahub-llamaserver", "gemmahub-openai")
_CONDA_NAMES: Final = {"prompt-toolkit": "prompt_toolkit", "huggingface-hub": "huggingface_hub"}


def fill(wheels: Path, address: str, homepage: str, to: Path) -> list[Path]:
    """Write the filled templates. ``address`` is that of the folder with the sdists.

    The winget manifest of the installer is left out where the archive for Windows was not made.
    Raises: ReleaseError for what is no address, and for a file that was not built.
    """
    for value in (address, homepage):
        if not _ADDRESS.fullmatch(value):
            raise ReleaseError(f"{value!r} is no address: https://..., without a / at its end")
    known = {d.name: d for d in distributions()}
    archive = wheels / f"gemmahub-{known['gemmahub'].version}-windows-x64.zip"
    written = []
    for name in TEMPLATES:
        text = (ROOT / "packaging" / name).read_text(encoding="utf-8")
        if "@SHA256 windows@" in text and not archive.is_file():
            continue

        def word(found: re.Match[str]) -> str:
            match found[1], found[2]:
                case "ADDRESS", _:
                    return address
                case "HOMEPAGE", _:
                    return homepage
                case "VERSION", _:
                    return known["gemmahub"].version
                case "SHA256", "windows":
                    return sha256(archive)
                case "SHA256", str(distribution) if distribution in known:
                    return _sum(wheels, known[distribution])
                case "REQUIREMENTS", _:
                    return _conda_requirements(known)
                case "RESOURCES", _:
                    return _resources(wheels, address, known)
            raise ReleaseError(f"nobody knows what {found[0]} in packaging/ is")

        path = to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        filled = _WORD.sub(word, text.partition("\n")[2])  # without the line that says template
        path.write_text(filled, encoding="utf-8", newline="\n")
        written.append(path)
    return written


def _sum(wheels: Path, distribution: Distribution) -> str:
    path = wheels / distribution.files[0]
    if not path.is_file():
        raise ReleaseError(f"{path} is not there: run `python -m release build` first")
    return sha256(path)


def _conda_requirements(known: dict[str, Distribution]) -> str:
    """What the distributions of the package need, as conda names it and writes it."""
    lines = set()
    for name in _INSIDE:
        project = known[name].project
        needed = list(project.get("dependencies", []))
        if name == "gemmahub":
            needed += project["optional-dependencies"]["server"]
        for requirement in map(Requirement, needed):
            if not requirement.name.startswith("gemmahub"):
                conda = requirement.name.lower().replace("_", "-")
                lines.add(f"    - {_CONDA_NAMES.get(conda, conda)} {requirement.specifier}")
    return "\n".join(sorted(lines))


def _resources(wheels: Path, address: str, known: dict[str, Distribution]) -> str:
    """The resources of a formula: the plugins that gemmahub needs, then what the index has.

    What has no source distribution is left out: Homebrew builds everything from source.
    """
    found = [
        _resource(name, f"{address}/{known[name].files[0]}", _sum(wheels, known[name]))
        for name in _INSIDE[1:]
    ]
    return "\n\n  ".join([*found, *index_resources(wheels, known)])


def index_resources(wheels: Path, known: dict[str, Distribution]) -> list[str]:
    """A resource for each distribution of the index that is needed and has its source there."""
    command = ["uv", "pip", "compile", "--quiet", "--format", "pylock.toml", "--python-version"]
    command += ["3.13", "--find-links", str(wheels), "-"]
    core = known["gemmahub"].project
    server = [n for n in core["optional-dependencies"]["server"] if not n.startswith("gemmahub")]
    needed = [*(f"{name}=={known[name].version}" for name in _INSIDE), *server]
    done = subprocess.run(
        command, input="\n".join(needed),
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        raise ReleaseError(f"uv pip compile failed:\n{done.stderr.strip()}")
    found, packages = [], list[dict[str, Any]](tomllib.loads(done.stdout)["packages"])
    for package in packages:
        source = package.get("sdist", {})
        if not package["name"].startswith("gemmahub") and "url" in source:
            found.append(_resource(package["name"], source["url"], source["hashes"]["sha256"]))
    return found


def _resource(name: str, url: str, value: str) -> str:
    return f'resource "{name}" do\n    url "{url}"\n    sha256 "{value}"\n  end'
