"""The distributions agree with each other, and what is wrong with a built file is found."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

import gemmahub
from release import ReleaseError, checking, distributions
from release.distributions import ROOT, compatible, disagreements, set_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_versions_and_ranges_agree() -> None:
    assert disagreements() == []
    assert {d.version for d in distributions.distributions()} == {gemmahub.__version__}
    assert len(distributions.distributions()) == 1 + len(list(ROOT.glob("plugins/*/")))


@pytest.mark.parametrize(
    ("version", "wanted"),
    [("0.1.0", ">=0.1,<0.2"), ("0.12.3rc1", ">=0.12,<0.13"), ("1.4.2", ">=1.4,<2")],
)
def test_range_of_what_works_together(version: str, wanted: str) -> None:
    assert compatible(version) == wanted


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that say versions, alone."""
    for path in (
        ROOT / "pyproject.toml", ROOT / "gemmahub/__init__.py",
        *ROOT.glob("plugins/*/pyproject.toml"),
    ):  # fmt: skip
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return tmp_path


def test_one_command_sets_every_version(copy: Path) -> None:
    before = (copy / "pyproject.toml").read_text(encoding="utf-8")
    changed = set_version("2.3.0", copy)
    assert len(changed) == len(distributions.distributions()) + 1
    assert disagreements(copy) == []
    text = (copy / "plugins/lmstudio/pyproject.toml").read_text(encoding="utf-8")
    assert '"gemmahub>=2.3,<3",' in text
    assert '"gemmahub-openai>=2.3,<3", # its client and its sessions' in text
    core = (copy / "pyproject.toml").read_text(encoding="utf-8")
    assert "\"gemmahub-mlx>=2.3,<3; sys_platform == 'darwin'" in core
    assert '"gemmahub-llamaserver[program]>=2.3,<3"' in core
    set_version("0.1.0", copy)
    assert (copy / "pyproject.toml").read_text(encoding="utf-8") == before
    with pytest.raises(ReleaseError, match="is no version"):
        set_version("next", copy)


def test_what_does_not_agree_is_named(copy: Path) -> None:
    path = copy / "plugins/lmstudio/pyproject.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace('version = "0.1.0"', 'version = "0.1.1"')
        .replace("gemmahub-openai>=0.1,<0.2", "gemmahub-openai")
        .replace('"pyyaml>=6,<7"', '"gemmahub-nowhere"'),
        encoding="utf-8",
    )
    assert disagreements(copy) == [
        "gemmahub-lmstudio is 0.1.1, not 0.1.0",
        "gemmahub-lmstudio requires gemmahub-openai, not gemmahub-openai<0.2,>=0.1",
        "gemmahub-lmstudio requires gemmahub-nowhere, which is not here",
    ]


def test_each_plugin_has_the_licence_and_is_typed() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    for found in distributions.distributions():
        assert (found.folder / "LICENSE").read_text(encoding="utf-8") == text, found.name
        assert (found.folder / found.package / "py.typed").is_file(), found.name
        assert "urls" not in found.project, f"{found.name}: the project has no public address"


WHEELS = distributions.distributions()[-1]
INFO = f"{WHEELS.package}-{WHEELS.version}.dist-info"
MAN = f"{WHEELS.package}-{WHEELS.version}.data/data/share/man/man1"
METADATA = f"""\
Metadata-Version: 2.4
Name: {WHEELS.name}
Version: {WHEELS.version}
Summary: {WHEELS.project["description"]}
License-Expression: Apache-2.0
Classifier: Development Status :: 3 - Alpha
Classifier: Programming Language :: Python :: 3.11
Classifier: Typing :: Typed
Requires-Python: >=3.11
Requires-Dist: gemmahub<0.2,>=0.1
Description-Content-Type: text/markdown

words
"""


def package_files() -> dict[str, str]:
    files = {
        path.relative_to(WHEELS.folder).as_posix(): path.read_text(encoding="utf-8")
        for path in (WHEELS.folder / WHEELS.package).iterdir()
        if path.is_file()
    }
    return {**files, f"{INFO}/METADATA": METADATA, f"{INFO}/licenses/LICENSE": "words"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda files: files, []),
        (lambda files: files | {f"{MAN}/gemmahub-run.1": ""}, []),
        (lambda files: files | {f"{MAN}/other.1": ""}, ["is outside"]),
        (lambda files: files | {"tests/test_x.py": ""}, ["is outside"]),
        (lambda files: files | {f"{WHEELS.package}/tests/x.py": ""}, ["does not belong"]),
        (lambda files: files | {f"{WHEELS.package}/library.svg": ""}, ["is of a kind"]),
        (
            lambda files: {n: t for n, t in files.items() if "py.typed" not in n},
            ["py.typed is missing", "py.typed is missing"],
        ),
        (lambda files: {n: t for n, t in files.items() if "LICENSE" not in n}, ["LICENSE is mis"]),
        (
            lambda files: {n: t for n, t in files.items() if not n.endswith("store.py")},
            ["store.py is missing"],
        ),
        (
            lambda files: files | {f"{INFO}/METADATA": METADATA.replace("gemmahub<", "idna<")},
            ["which gemmahub it needs"],
        ),
        (
            lambda files: (
                files
                | {
                    f"{INFO}/METADATA": METADATA.replace(
                        "Name:", "Home-page: https://x.test\nName:"
                    )
                }
            ),
            ["its addresses"],
        ),
        (
            lambda files: files | {f"{INFO}/METADATA": METADATA.replace(">=3.11", ">=3.9")},
            ["Requires-Python is '>=3.9'"],
        ),
    ],
)
def test_what_is_wrong_with_a_wheel_is_said(
    tmp_path: Path, change: Callable[[dict[str, str]], dict[str, str]], told: list[str]
) -> None:
    path = tmp_path / WHEELS.files[1]
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in change(package_files()).items():
            wheel.writestr(name, text)
    found = list(checking.wrong_wheel(WHEELS, path))
    assert len(found) == len(told), found
    for words in told:
        assert any(words in line for line in found)


def test_what_is_wrong_with_an_sdist_is_said(tmp_path: Path) -> None:
    path = tmp_path / WHEELS.files[0]
    stem = f"{WHEELS.package}-{WHEELS.version}/"
    names = ["pyproject.toml", "README.md", "PKG-INFO", "uv.lock", "x/model.gguf"]
    names += [n for n in package_files() if n.startswith(WHEELS.package + "/")]
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(stem + name), BytesIO())
    found = sorted(
        line.removeprefix(f"{path.name}: ") for line in checking.wrong_sdist(WHEELS, path)
    )
    assert found == [
        "LICENSE is missing",
        "the tests are missing",
        "uv.lock does not belong into a source distribution",
        "x/model.gguf does not belong into a source distribution",
    ]


def test_files_that_were_changed_after_the_build_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="run `python -m release build` first"):
        checking.check(tmp_path, print)
    names = [name for d in distributions.distributions() for name in d.files]
    (tmp_path / "SHA256SUMS").write_text("".join(f"{'0' * 64}  {name}\n" for name in names))
    for name in names[1:]:
        (tmp_path / name).touch()
    with pytest.raises(ReleaseError) as caught:
        checking.check(tmp_path, print)
    assert f"{names[0]} is in SHA256SUMS and not there" in str(caught.value)
    assert f"{names[1]} is not the file that was built" in str(caught.value)
