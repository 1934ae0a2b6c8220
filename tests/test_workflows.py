"""The workflow files call what is there, with pinned actions and no more rights than they need."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from release.__main__ import main
from release.distributions import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w\-]+/[\w\-/]+@(v\d+|release/v\d+|[0-9a-f]{40})")


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows" / name).read_text("utf-8"))
    return found


def steps(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in found["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_and_rights_are_few(path: Any) -> None:
    found = workflow(path.name)
    assert found["permissions"] == {"contents": "read"}
    used = [step["uses"] for step in steps(found) if "uses" in step]
    assert [name for name in used if not PINNED.fullmatch(name)] == []
    assert all("timeout-minutes" in job for job in found["jobs"].values())
    assert "secrets." not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_commands_of_the_workflows_are_there(path: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = "\n".join(step.get("run", "") for step in steps(workflow(path.name)))
    for command in re.findall(r"python -m release (\w+)", lines):
        assert command in main.commands
    for group in re.findall(r"--group (\w+)", lines):
        assert group in project["dependency-groups"] or group == "docs"
    for folder in re.findall(r"\b(?:tests|plugins)/\w+", lines):
        assert (ROOT / folder).is_dir()


def test_all_systems_and_pythons_are_tested() -> None:
    matrix = workflow("tests.yml")["jobs"]["matrix"]["strategy"]["matrix"]
    assert [name.partition("-")[0] for name in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]


def test_only_a_tag_is_published_and_by_a_trusted_publisher() -> None:
    job = workflow("release.yml")["jobs"]["publish"]
    assert job["if"] == "github.ref_type == 'tag'"
    assert job["permissions"] == {"id-token": "write"}
    assert job["environment"] == "release"
    assert set(job["needs"]) == set(workflow("release.yml")["jobs"]) - {"build", "publish"}
