"""The public face, as docs/guides/library.md has it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import gemmahub
from gemmahub.engines.contract import Sampling
from gemmahub.errors import NotFound
from gemmahub.service import Library

DOCS = Path(__file__).parents[2] / "docs" / "guides" / "library.md"
PUBLIC = {
    "plan": ["reference", "options", "on_progress"],
    "plan_pull": ["reference", "options"],
    "load": [
        *("reference", "settings", "backend", "options", "on_progress", "on_stage", "cancelled"),
        "alone",
        "draft",
        "needs",
        "tuned",
    ],
    "models": ["catalogue"],
    "resolve": ["reference"],
    "inspect": ["reference", "remote"],
    "search": ["text", "limit"],
    "recommend": ["wanted", "machine"],
    "compare": ["references", "wanted", "machine"],
    "pull": ["wanted", "on_progress", "cancelled"],
}


def test_the_public_names_stay() -> None:
    own = {
        name: list(inspect.signature(member).parameters)[1:]
        for name, member in vars(Library).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }
    assert own == PUBLIC
    assert list(inspect.signature(gemmahub.open).parameters) == ["folders", "say"]
    assert set(gemmahub.__all__) == {"__version__", "hookimpl", "open"}


def test_the_document_names_all_of_them() -> None:
    table = re.findall(r"^\| `(\w+)\(", DOCS.read_text(), re.MULTILINE)
    assert sorted(table) == sorted(PUBLIC)


def test_a_script_does_what_the_commands_do(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    said: list[str] = []
    library = gemmahub.open(folders=[tiny_model.parent], say=said.append)
    assert str(tiny_model) in [str(a.path) for v in library.models().variants for a in v.artifacts]
    variant = library.resolve(str(tiny_model))
    assert variant.precision.as_json() == library.inspect(str(tiny_model)).precision.as_json()
    with library.load(str(tiny_model), backend="echo").session as session:
        answer = "".join(chunk.text for chunk in session.generate("hello", Sampling(max_tokens=20)))
    assert "hello" in answer
    best = library.recommend(machine=library.machine_for(memory="24GiB", ram="64GiB"))[0]
    assert best.command.startswith("gemmahub ")
    assert library.plan(best.variant.reference).memory.total_bytes > 0
    with pytest.raises(NotFound):
        library.resolve("gemma-99")
