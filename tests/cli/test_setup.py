"""``gemmahub setup``: one screen, then steps that can be declined, fail, and be run again."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gemmahub.catalog import loader
from gemmahub.catalog.records import Catalog
from gemmahub.cli import output
from gemmahub.engines.contract import EngineDevice
from gemmahub.hardware.simulate import preset_machine
from gemmahub.service import Library, engine_devices, first_setup
from tests.tui.conftest import MODEL, NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.testing.hub.server import HubServer

Command = Any
CPU, CUDA = EngineDevice("CPU", "cpu"), EngineDevice("CUDA0", "cuda")
BEST = "gemma-3-270m-it:q4_0-qat"

UV = """\
#!{python}
import pathlib, sys
pathlib.Path({log!r}).write_text(" ".join(sys.argv[1:]))
pathlib.Path({settings!r}).write_text("")  # the engine's plugin is there now
print("installing")
sys.exit({code})
"""


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without engine, model and network."""
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "llamaserver")
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "config.toml").write_text("[plugins.llamaserver]\nenabled = false\n")


@pytest.fixture
def small_hub(hub_server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """An engine, and a hub with the only model of the catalogue."""
    hub_server.add("user/gemma", {NAME: MODEL})
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "llamaserver")
    whole = loader.load_catalog()
    model, variant = whole.model("gemma-3-270m-it"), whole.variant("gemma-3-270m-it", "q4_0-qat")
    assert model is not None
    assert variant is not None
    digest = hashlib.sha256(MODEL).hexdigest()
    known = msgspec.structs.replace(
        variant, repository="user/gemma", file=NAME, bytes=len(MODEL), sha256=digest, projector=None
    )
    only = Catalog.of(whole.families, [replace(model, variants=(known,))], [])
    monkeypatch.setattr(loader, "load_catalog", lambda: only)
    return hub_server


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A person who answers in this order; what was asked."""
    asked: list[str] = []

    def say(*lines: str | None) -> list[str]:
        typed = iter(lines)

        def ask(question: str) -> str | None:
            asked.append(question)
            return next(typed)

        monkeypatch.setattr(output, "interactive", lambda: True)
        monkeypatch.setattr(output, "ask", ask)
        return asked

    return say


@pytest.fixture
def chats(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were started on the terminal."""
    started: list[list[str]] = []

    def start(words: list[str]) -> int:
        started.append(words)
        return 0

    monkeypatch.setattr(subprocess, "call", start)
    monkeypatch.setattr("gemmahub.text.streams.give_stdout_back", lambda: None)
    return started


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """gemmahub is a uv tool, and uv does what a test wants; where it writes down its words."""

    def make(code: int) -> Path:
        log, folder = tmp_path / "calls", tmp_path / "tools" / "gemmahub"
        folder.mkdir(parents=True)
        (folder / "uv-receipt.toml").write_text('[tool]\nrequirements = [{ name = "gemmahub" }]\n')
        program = tmp_path / "bin" / "uv"
        program.parent.mkdir()
        settings = str(tmp_path / "config.toml")
        text = UV.format(python=sys.executable, log=str(log), settings=settings, code=code)
        program.write_text(text)
        program.chmod(0o755)
        monkeypatch.setattr(sys, "prefix", str(folder))
        monkeypatch.setenv("PATH", str(program.parent))
        return log

    return make


def steps(out: str) -> dict[str, dict[str, Any]]:
    return {step["step"]: step for step in json.loads(out)["steps"]}


@pytest.mark.usefixtures("bare")
def test_the_screen_fits_80_columns_and_24_lines(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = command("setup", "--dry-run")
    assert done.code == 0
    lines = done.out.splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    for word in ("memory", "engine", "models", "runs best", "tokens/s", "to download", "1 engine"):
        assert word in done.out
    monkeypatch.setattr(output, "width", lambda: 20)
    assert command("setup", "--dry-run").code == 0


@pytest.mark.parametrize("devices", [[CPU], [CPU, CUDA]])
def test_a_gpu_that_the_engine_does_not_use_is_named_with_what_to_do(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: list[EngineDevice],
) -> None:
    pc = replace(preset_machine("rtx-3090"), simulated=False)
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "llamaserver")
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Library, "hardware", lambda self, measure=False: pc)
    monkeypatch.setattr(engine_devices, "devices_of", lambda offer: tuple(devices))
    done = command("setup", "--dry-run")
    assert done.code == 0
    assert "GPU      GeForce RTX 3090, 24.00 GiB of 24.00 GiB free" in done.out
    assert len(done.out.splitlines()) <= 23
    unused = "llama-server does not use GeForce RTX 3090" in done.out
    assert unused == (CUDA not in devices)
    assert ("plugins.llamaserver.program" in done.out) == unused


@pytest.mark.usefixtures("bare")
def test_json_has_the_facts_and_does_nothing(command: Command) -> None:
    done = command("setup", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert found["engines"] == []
    assert found["models"] == 0
    assert found["offline"]
    assert len(found["recommendations"]) == 3
    told = steps(done.out)
    assert told["engine"]["needed"]
    assert told["model"]["needed"]
    assert "no network" in told["model"]["problem"]


@pytest.mark.usefixtures("bare")
def test_nothing_is_done_where_nobody_can_be_asked(command: Command) -> None:
    done = command("setup")
    assert done.code == 2
    assert "cannot ask for confirmation" in done.err
    assert "--yes" in done.err
    assert "1 engine" in done.out


@pytest.mark.usefixtures("bare")
def test_every_step_can_be_declined(
    command: Command, answers: Callable[..., list[str]], uv: Callable[[int], Path], tmp_path: Path
) -> None:
    log = uv(0)
    asked = answers("n")
    done = command("setup")
    assert done.code == 6  # there is no network for the model
    assert asked == ["Install it? [Y/n]"]
    assert not log.exists()
    assert "no engine; gemmahub setup continues from here" in done.err
    assert not (tmp_path / "hf").exists()


@pytest.mark.usefixtures("bare")
def test_the_engine_is_installed_as_gemmahub_was(
    command: Command, answers: Callable[..., list[str]], uv: Callable[[int], Path]
) -> None:
    log = uv(0)
    answers("")
    done = command("setup")
    assert log.read_text() == "tool install gemmahub --with gemmahub-llamaserver[program]"
    assert "uv tool install gemmahub --with 'gemmahub-llamaserver[program]'" in done.err
    assert "engine: llama-server" in done.err  # as a fresh start finds it
    assert steps(command("setup", "--json").out)["engine"]["needed"] is False


@pytest.mark.usefixtures("bare")
def test_an_engine_that_fails_leaves_the_rest_and_says_how_to_go_on(
    command: Command, answers: Callable[..., list[str]], uv: Callable[[int], Path]
) -> None:
    uv(3)
    answers("y")
    done = command("setup")
    assert done.code == 1
    assert "uv ended with exit code 3" in done.err
    assert "gemmahub setup continues from here" in done.err
    assert "no network" in done.err  # the next step had its turn


@pytest.mark.usefixtures("small_hub")
def test_a_model_is_got_and_the_chat_begins(
    command: Command, answers: Callable[..., list[str]], chats: list[list[str]]
) -> None:
    asked = answers("7", "1", "")
    done = command("setup")
    assert done.code == 0, done.err
    assert "'7' is none of them" in done.err
    assert asked[-1] == f"Chat with {BEST} now? [Y/n]"
    ((*_, run, reference, option, context),) = chats
    assert (run, reference, option) == ("run", BEST, "--ctx-size")
    assert int(context) > 0
    asked.clear()
    answers("n")  # again: nothing is missing but the chat
    done = command("setup")
    assert done.code == 0
    assert asked == [f"Chat with {BEST} now? [Y/n]"]
    assert f"{BEST}, here" in done.out
    assert len(chats) == 1


def test_yes_takes_the_defaults_and_needs_no_terminal(
    command: Command, small_hub: HubServer
) -> None:
    done = command("setup", "--yes")
    assert done.code == 0, done.err
    assert f"later: gemmahub run {BEST}" in done.err
    asked = len(small_hub.requests())
    assert command("setup").code == 0  # nothing is to be done, and nobody is asked
    found = command("setup", "--yes", "--json")
    assert steps(found.out)["model"]["needed"] is False
    assert len(small_hub.requests()) == asked


def test_no_server_is_asked_before_a_yes(
    command: Command, small_hub: HubServer, answers: Callable[..., list[str]]
) -> None:
    answers("n")
    done = command("setup", "--no-chat")
    assert done.code == 0
    assert "no model; gemmahub setup continues from here" in done.err
    assert small_hub.requests() == []


def test_a_download_that_fails_is_told_and_resumed(
    command: Command, small_hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = command("setup", "--yes")
    assert done.code not in (0, 2)
    assert "continues from here" in done.err
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert command("setup", "--yes").code == 0
    assert small_hub.requests()


@pytest.mark.usefixtures("bare")
def test_the_first_minutes_are_told_from_later_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path
) -> None:
    assert first_setup.is_bare(Library())
    (tmp_path / "models").mkdir()
    tiny_model.rename(tmp_path / "models" / tiny_model.name)
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(tmp_path / "models"))
    assert not first_setup.is_bare(Library())
