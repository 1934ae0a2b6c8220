"""``quality --tasks``: a model is served, lm-eval asks it, and what it writes down is kept.

lm-eval itself is not among the development dependencies: a module of its name stands in, which asks
the same address in the same way and writes results of the same form.
"""

from __future__ import annotations

import importlib.metadata
import json
from typing import TYPE_CHECKING

import pytest

from gemmahub.python_environment import install_command
from gemmahub.service.scoring import tasks
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]

STAND_IN = """
import json, os, sys
from pathlib import Path
from urllib.request import Request, urlopen

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
settings = dict(part.split("=", 1) for part in given["--model_args"].split(","))
if given["--tasks"] == "unknown":
    sys.exit("ValueError: Tasks not found: unknown")
assert os.environ["OPENAI_API_KEY"]
asked = {"model": settings["model"], "max_tokens": 4, "temperature": 0,
         "messages": [{"role": "user", "content": "to be"}]}
request = Request(settings["base_url"], json.dumps(asked).encode(),
                  {"Content-Type": "application/json"})
answer = json.load(urlopen(request))["choices"][0]["message"]["content"]
folder = Path(given["--output_path"], "model")
folder.mkdir()
(folder / "results_2026.json").write_text(json.dumps({
    "results": {"own": {"alias": "own", "exact_match,none": 0.5, "exact_match_stderr,none": 0.25,
                        "length": len(answer)}},
    "versions": {"own": 1}, "n-shot": {"own": 0}, "limit": given.get("--limit"),
}))
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, with lm-eval's stand-in where Python finds it."""
    path = tmp_path / "tiny-F32.gguf"
    write_model(path)
    package = tmp_path / "packages" / "lm_eval"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(tasks, "version", lambda _: "0.4.9")
    return path


def test_a_served_model_is_asked_and_the_scores_are_kept(
    command: Command, model: Path, tmp_path: Path
) -> None:
    found = command("quality", model, "--tasks", "own", "--limit", 3, "--json")
    assert found.code == 0, found.err
    (result,) = json.loads(found.out)["tasks"]
    assert result["scores"]["own"]["exact_match,none"] == 0.5
    assert result["scores"]["own"]["length"] > 0
    assert result["settings"]["program"] == "lm-eval 0.4.9"
    assert (result["settings"]["limit"], result["settings"]["shots"]) == (3, {"own": 0})
    (kept,) = (tmp_path / "data" / "tasks").iterdir()
    assert json.loads(kept.read_text("utf-8"))["scores"] == result["scores"]
    shown = command("quality", model, "--tasks", "own")
    assert "exact_match,none" in shown.out
    assert "0.5000" in shown.out
    assert "0.2500" in shown.out


def test_an_unknown_task_is_said_with_lm_evals_words(command: Command, model: Path) -> None:
    found = command("quality", model, "--tasks", "unknown")
    assert found.code == 1
    assert "lm-eval failed: ValueError: Tasks not found: unknown" in found.err


def test_without_lm_eval_the_package_is_named(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(tasks, "version", missing)
    found = command("quality", model, "--tasks", "own")
    assert found.code == 2
    assert install_command("gemmahub[tasks]") in found.err
