"""``gemmahub plugins new``: what it writes installs and passes the conformance kit as it is."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.testing.conformance import (
    BackendConformance,
    PluginConformance,
    SourceConformance,
    StoreConformance,
)
from gemmahub.testing.scaffold import KINDS, new_plugin

if TYPE_CHECKING:
    from collections.abc import Callable

Command = Any
ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo(command: Command, tmp_path: Path) -> Path:
    """A new plugin, written by the command."""
    result = command("plugins", "new", "my-demo", "--folder", tmp_path)
    assert result.code == 0, result.err
    assert result.out.strip() == str(tmp_path / "gemmahub-my-demo")
    assert "pip install -e" in result.err
    assert "--backend my-demo" in result.err
    return tmp_path / "gemmahub-my-demo"


def test_its_tests_pass_at_once(
    demo: Path,
    install: Callable[[Path, str, str], None],
    run_pytest: Callable[..., dict[tuple[str, str], str]],
) -> None:
    project = tomllib.loads((demo / "pyproject.toml").read_text())["project"]
    assert project["name"] == "gemmahub-my-demo"
    assert project["dependencies"] == ["gemmahub >=0.1,<0.2"]
    ((name, module),) = project["entry-points"]["gemmahub"].items()
    assert (name, module) == ("my-demo", "gemmahub_my_demo")
    install(demo, name, module)
    found = run_pytest(demo)
    assert set(found.values()) == {"passed", "skipped"}
    kit = {test for owner, test in found if owner == "TestConformance"}
    assert kit == {test for test in dir(BackendConformance) if test.startswith("test_")}
    assert found["test_backend", "test_says_it_again"] == "passed"


KITS = {
    "backend": BackendConformance,
    "server": BackendConformance,
    "store": StoreConformance,
    "source": SourceConformance,
    "command": PluginConformance,
}


@pytest.fixture(params=KINDS)
def written(command: Command, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A new plugin of each kind."""
    result = command("plugins", "new", "my-demo", "--kind", request.param, "--folder", tmp_path)
    assert result.code == 0, result.err
    return tmp_path / "gemmahub-my-demo"


def test_of_each_kind_the_tests_pass_at_once(
    written: Path,
    request: pytest.FixtureRequest,
    install: Callable[[Path, str, str], None],
    run_pytest: Callable[..., dict[tuple[str, str], str]],
) -> None:
    install(written, "my-demo", "gemmahub_my_demo")
    found = run_pytest(written)
    assert set(found.values()) <= {"passed", "skipped"}, found
    kit = KITS[request.node.callspec.params["written"]]
    own = {test for owner, test in found if owner == "TestConformance"}
    assert own == {test for test in dir(kit) if test.startswith("test_")}


def test_each_readme_says_how_to_try_it_and_how_lazily_to_import(written: Path) -> None:
    readme = (written / "README.md").read_text()
    assert "pytest" in readme
    assert "What to do next" in readme
    assert "Keep the root of the package light" in readme
    assert "NAME" not in readme


def test_a_kind_that_is_none_is_a_wrong_use(command: Command, tmp_path: Path) -> None:
    result = command("plugins", "new", "demo", "--kind", "toaster", "--folder", tmp_path)
    assert result.code == 2
    assert all(kind in result.err for kind in KINDS)


def uv(*arguments: object) -> None:
    """Run uv without a network; skips where that is not possible here."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not here, which installs without a network")
    done = subprocess.run(
        ["uv", *map(str, arguments), "--offline"], capture_output=True, text=True, cwd=ROOT
    )
    if "hatchling" in done.stderr and "network was disabled" in done.stderr:
        pytest.skip("uv has never built anything here: its cache has no hatchling")
    assert done.returncode == 0, done.stderr


def test_it_installs(demo: Path, tmp_path: Path) -> None:
    place = tmp_path / "installed"
    uv("pip", "install", "--no-deps", "--python", sys.executable, "--target", place, demo)
    done = subprocess.run(
        [sys.executable, "-m", "gemmahub", "plugins", "--json"],
        env=os.environ | {"PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    row = {row["name"]: row for row in json.loads(done.stdout)["plugins"]}["my-demo"]
    assert (row["state"], row["distribution"]) == ("ok", "gemmahub-my-demo")
    assert row["backends"][0]["available"]


def test_the_templates_are_in_the_wheel(tmp_path: Path) -> None:
    uv("build", "--wheel", "--out-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("gemmahub-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    templates = ROOT / "gemmahub/testing/scaffold/plugin"
    here = {path.relative_to(ROOT).as_posix() for path in templates.rglob("*.txt")}
    assert {name for name in names if "/scaffold/plugin/" in name} == here
    assert "gemmahub/testing/conformance/kit.py" in names


def test_what_is_written_is_formatted_and_typed(written: Path, tmp_path: Path) -> None:
    ruff = ["ruff", "--isolated", "--config", "line-length=100"]
    for check in (
        [*ruff, "check", "--no-cache", "--select", "ANN,B,E,F,I,N,PT,RUF,SIM,TC,UP"],
        [*ruff, "format", "--check", "--no-cache"],
        ["mypy", "--strict", "--cache-dir", str(tmp_path / "mypy"), "--config-file="],
    ):
        command = [sys.executable, "-m", *check, "."]
        done = subprocess.run(command, cwd=written, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["Demo", "my_demo", "1demo", "demo-", "-demo", "a--b", "../up", "a b", "", "x" * 41, "a\n"],
)
def test_names_that_cannot_be(command: Command, tmp_path: Path, name: str) -> None:
    result = command("plugins", "new", "--folder", tmp_path, "--", name)
    assert result.code == 2
    assert "cannot be the name" in result.err
    assert list(tmp_path.iterdir()) == []


def test_the_prefix_is_not_part_of_the_name(command: Command, tmp_path: Path) -> None:
    result = command("plugins", "new", "gemmahub-demo", "--folder", tmp_path)
    assert result.code == 2
    assert "gemmahub plugins new demo" in result.err


@pytest.mark.parametrize("name", ["echo", "llamacpp"])
def test_names_that_are_taken(command: Command, tmp_path: Path, name: str) -> None:
    result = command("plugins", "new", name, "--folder", tmp_path)
    assert result.code == 2
    assert "already installed" in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_nothing_is_overwritten(command: Command, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "gemmahub-demo"
    if kind == "folder":
        target.mkdir()
        (target / "README.md").write_text("mine")
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    result = command("plugins", "new", "demo", "--folder", tmp_path)
    assert result.code == 2
    assert "is not overwritten" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["gemmahub-demo"]
    if kind == "folder":
        assert [path.read_text() for path in target.iterdir()] == ["mine"]


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    first, second = (new_plugin("demo", tmp_path, taken=(), version="0.1.0") for _ in range(2))
    first.write()
    from gemmahub.errors import UsageError

    with pytest.raises(UsageError, match="exists"):
        second.write()
    assert (first.folder / "README.md").is_file()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a plain user")
def test_a_folder_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    result = command("plugins", "new", "demo", "--folder", tmp_path)
    assert result.code == 1
    assert "--folder" in result.err


def test_a_folder_below_a_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = command("plugins", "new", "demo", "--folder", tmp_path / "file" / "below")
    assert result.code == 1
    assert "--folder" in result.err


@pytest.mark.parametrize(
    ("version", "wanted"),
    [("0.1.0", ">=0.1,<0.2"), ("0.12.3", ">=0.12,<0.13"), ("2.3.1", ">=2.3,<3")],
)
def test_the_versions_of_gemmahub_it_is_for(tmp_path: Path, version: str, wanted: str) -> None:
    plugin = new_plugin("demo", tmp_path, taken=(), version=version)
    (text,) = (text for name, text in plugin.files.items() if name.name == "pyproject.toml")
    assert tomllib.loads(text)["project"]["dependencies"] == [f"gemmahub {wanted}"]
