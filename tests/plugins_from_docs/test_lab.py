"""A plugin for servers of OpenAI's API, written from the docs, against a real llama-server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.manager import load_plugins
from gemmahub.engines.servers import served_models
from gemmahub.testing.conformance import BackendConformance

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import ServedModel
    from gemmahub.engines.program import Program

HERE = Path(__file__).parent
REFERENCE = "lab://tiny"


class TestConformance(BackendConformance):
    plugin = "lab"
    context = 512

    @pytest.fixture(autouse=True)
    def _server(self, lab: Callable[[Program], str], tiny: Program) -> None:
        lab(tiny)

    def make_artifact(self, folder: Path) -> ServedModel:
        return served_models(load_plugins(only=["lab"])).models[0]


def test_the_plugin_is_short() -> None:
    assert len((HERE / "gemmahub_lab.py").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.fixture
def address(lab: Callable[[Program], str], gemma: Program) -> str:
    """Of a server with a real Gemma."""
    return lab(gemma)


def test_its_model_is_listed_as_stated(command: Any, address: str) -> None:
    (row,) = [row for row in json.loads(command("list", "--json").out)["models"] if row["served"]]
    assert row["reference"] == REFERENCE
    assert row["precision"]["summary"].startswith("stated: Q4_K")
    assert row["precision"]["bits_per_weight"] is None
    assert row["fit"]["fits"] is None
    assert row["served"]["place"] == address
    assert row["served"]["context"] == 512
    assert "stated: Q4_K" in command("list").out


@pytest.mark.usefixtures("address")
def test_it_answers_in_run(command: Any) -> None:
    question = ("The capital of France is", "--raw", "--temperature", 0)
    found = command("run", REFERENCE, *question, "-n", 8, "--json")
    assert found.code == 0, found.err
    answer = json.loads(found.out)
    assert "France" in answer["text"]
    assert answer["precision"]["stated"] is True
    assert answer["usage"]["tokens"] == 8
    assert answer["usage"]["prefill_seconds"] is None


def test_what_list_prints_every_command_takes_or_says_why_not(command: Any, address: str) -> None:
    shown = command("inspect", REFERENCE)
    assert shown.code == 0
    assert "stated: Q4_K" in shown.out
    assert "not measured" in shown.out
    compared = command("compare", REFERENCE, "gemma-3-270m:q4_k_m")
    assert compared.code == 0, compared.err
    assert "not known" in compared.out
    for name, code in (("plan", 1), ("rm", 3), ("pull", 2)):
        refused = command(name, REFERENCE)
        assert refused.code == code, (name, refused.err)
        assert address in refused.err, name


@pytest.mark.usefixtures("address")
def test_its_key_is_sent_and_never_shown(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "very-secret")
    listed = command("config", "list", "--json")
    assert "very-secret" not in listed.out + listed.err
    rows = {row["name"]: row for row in json.loads(listed.out)["settings"]}
    assert rows["plugins.lab.key"]["origin"] == "env LAB_KEY"
    assert command("run", REFERENCE, "Hello", "-n", 2).code == 0
