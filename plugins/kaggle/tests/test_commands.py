"""Kaggle through the commands and the library, as people use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import DoesNotFit
from gemmahub.service import Library
from plugins.kaggle.tests.fake_kaggle import TOKEN
from plugins.kaggle.tests.models import FLAX, GGUF, flax, gguf, safetensors
from plugins.kaggle.tests.test_pull import CONTENT, REFERENCE, tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plugins.kaggle.tests.fake_kaggle import RunningKaggle
    from tests.conftest import Result

ORBAX = "kaggle://google/gemma-3/flax/gemma3-4b-it-int4"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command line in this process, through its error boundary."""
    from gemmahub.cli.main import run
    from tests.conftest import Result

    def invoke(*arguments: str) -> Result:
        capsys.readouterr()
        code = run(list(arguments))
        return Result(int(code), *capsys.readouterr())

    return invoke


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "kaggle,echo")


def test_a_model_is_looked_at_pulled_listed_and_removed(
    kaggle: RunningKaggle, cache: Path, command: Callable[..., Result]
) -> None:
    content = gguf()
    kaggle.add(GGUF, {"tiny.gguf": content, "README.md": b"r"})
    looked = json.loads(command("inspect", REFERENCE, "--json").out)
    assert looked["format"] == "gguf"
    assert looked["precision"]["bits_per_weight"] == 32.0
    assert "licence Gemma" in command("pull", REFERENCE, "--dry-run").out.replace("\n", " ")
    assert not cache.exists()
    dry = json.loads(command("pull", REFERENCE, "--dry-run", "--json").out)
    assert dry["reference"] == f"{REFERENCE}/1"
    assert dry["fetch_bytes"] == len(content) + 1
    assert [file["file"] for file in dry["files"]] == ["tiny.gguf", "README.md"]
    result = command("pull", REFERENCE, "--yes")
    assert result.code == 0, result.err
    listed = json.loads(command("list", "--json").out)["models"]
    assert [each["reference"] for each in listed] == [f"{REFERENCE}/1"]
    kaggle.faults["/v1/"] = "500"  # from here on nobody has to be asked
    for name in (REFERENCE, f"{REFERENCE}/1", REFERENCE.replace("gguf", "GGUF")):
        here = json.loads(command("inspect", name, "--json").out)
        assert here["installed"], name
    used = command("du")
    assert used.code == 0
    assert "kaggle" in used.out
    result = command("rm", REFERENCE, "--yes")
    assert result.code == 0, result.err
    assert not any(cache.iterdir())


def test_a_folder_of_safetensors_is_measured_before_it_is_here(
    kaggle: RunningKaggle, command: Callable[..., Result]
) -> None:
    kaggle.add("google/gemma-3/TRANSFORMERS/tiny", safetensors())
    name = "kaggle://google/gemma-3/transformers/tiny"
    looked = json.loads(command("inspect", name, "--json").out)
    assert looked["format"] == "mlx"  # as its header says
    assert looked["precision"]["bits_per_weight"] == 32.0
    assert looked["chat_template"] is True
    assert command("pull", name, "--yes").code == 0
    here = json.loads(command("inspect", name, "--json").out)
    assert here["installed"]
    assert here["precision"] == looked["precision"]


def test_a_checkpoint_that_nothing_reads_is_what_it_is(
    kaggle: RunningKaggle, cache: Path, command: Callable[..., Result]
) -> None:
    kaggle.add(FLAX, flax())
    looked = command("inspect", ORBAX)
    assert looked.code == 0, looked.err
    assert "no installed plugin reads orbax files" in looked.out
    result = command("pull", ORBAX, "--yes")
    assert result.code == 0, result.err
    listed = json.loads(command("list", "--json").out)
    (model,) = listed["models"]
    assert (model["reference"], model["format"]) == (f"{ORBAX}/1", "orbax")
    assert model["precision"]["label"] == "INT4"
    assert model["precision"]["bits_per_weight"] is None or not model["parameters"]
    assert model["size_bytes"] == sum(map(len, flax().values())) - len(flax()["tokenizer.model"])
    assert listed["broken"] == []
    used = json.loads(command("du", "--json").out)
    assert used["models"][0]["disk_bytes"] >= model["size_bytes"]
    assert "memory use of a orbax model is unknown" in command("list").err.replace("\n", " ")
    run = command("run", ORBAX, "hello")
    assert run.code == 5
    assert "orbax" in run.err
    assert command("doctor").code in (0, 1)
    assert command("rm", ORBAX, "--yes").code == 0
    assert not any(cache.iterdir())


def test_it_is_not_said_that_unverified_files_are_verified(
    kaggle: RunningKaggle, command: Callable[..., Result]
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": gguf()})
    kaggle.sums = False
    first, again = command("pull", REFERENCE, "--yes"), command("pull", REFERENCE, "--yes")
    assert "493 KB fetched\n" in first.err
    assert "nothing downloaded\n" in again.err
    kaggle.sums = True
    assert "they are verified" in command("pull", REFERENCE, "--yes").err


def test_what_a_download_left_is_reported_and_removed(
    kaggle: RunningKaggle, cache: Path, command: Callable[..., Result]
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    folder = cache / "google/gemma-3/gguf/tiny-q8_0/1"
    folder.mkdir(parents=True)
    (folder / "tiny.gguf").write_bytes(CONTENT[:5000])
    assert json.loads(command("list", "--json").out)["models"] == []
    used = json.loads(command("du", "--json").out)
    assert used["unfinished"] == [{"reference": f"{REFERENCE}/1", "bytes": 5000}]
    assert command("rm", f"{REFERENCE}/1", "--yes").code == 0
    assert not any(cache.iterdir())


@pytest.mark.parametrize(
    ("accepted", "login", "said"),
    [
        (False, TOKEN, "accept the licence at https://www.kaggle.com/models/google/gemma-3"),
        (True, "", "kaggle.com/settings/api"),
        (True, "KGAT_wrong", "kaggle.com/settings/api"),
    ],
)
def test_a_gate_says_where_to_go(
    kaggle: RunningKaggle,
    command: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    accepted: bool,
    login: str,
    said: str,
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": gguf()})
    kaggle.gated, kaggle.accepted = True, accepted
    if login:
        monkeypatch.setenv("KAGGLE_API_TOKEN", login)
    result = command("pull", REFERENCE, "--yes")
    assert result.code == 6
    assert said in result.err
    assert not login or login not in result.err + result.out
    told = json.loads(command("pull", REFERENCE, "--yes", "--json").out)
    assert told["error"]["kind"] == "gated"


def test_what_there_is_not(kaggle: RunningKaggle, command: Callable[..., Result]) -> None:
    kaggle.add(FLAX, flax())
    assert command("pull", "kaggle://google/none/gguf/x", "--yes").code == 3
    result = command("pull", "kaggle://google/gemma-3", "--yes")
    assert result.code == 3
    assert ORBAX in result.err
    assert command("pull", "kaggle://x", "--yes").code == 2
    assert command("pull", f"{ORBAX}/7", "--yes").code == 3


def test_a_disk_that_is_too_small_is_reported_before_the_first_byte(
    kaggle: RunningKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle.add(GGUF, {"tiny.gguf": CONTENT})
    here = Library()
    monkeypatch.setattr("gemmahub.service.pulling._free", lambda folder: 1000)
    kaggle.add(FLAX, flax())
    plan = here.plan_pull(ORBAX)
    sent = kaggle.sent
    with pytest.raises(DoesNotFit, match="only 1"):
        here.pull(plan)
    assert kaggle.sent == sent


def test_a_search_has_kaggles_variations(
    kaggle: RunningKaggle, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle.add(FLAX, flax())
    kaggle.add("google/gemma-3/GGUF/gemma-3-4b-it-qat-q4_0", {"g-Q4_0.gguf": CONTENT})
    kaggle.add("keras/gemma/KERAS/2b", {"model.weights.h5": b"x"})
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    found = json.loads(command("search", "gemma-3", "--json").out)["repositories"]
    (model,) = found
    assert (model["name"], model["official"]) == ("kaggle://google/gemma-3", True)
    assert model["licence"] == "Gemma"
    assert {f["reference"]: (f["label"], f["qat"]) for f in model["files"]} == {
        ORBAX: ("INT4", False),
        "kaggle://google/gemma-3/gguf/gemma-3-4b-it-qat-q4_0": ("Q4_0", True),
    }
    shown = command("search", "gemma")
    assert ORBAX in shown.out


def test_a_search_with_kaggle_away(
    command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    result = command("search", "gemma")
    assert result.code == 6
    assert "cannot be reached" in result.err


def test_a_list_needs_no_kagglehub(cache: Path, tmp_path: Path) -> None:
    """Its import takes longer than a listing."""
    folder = cache / "google/gemma-3/gguf/x/1"
    folder.mkdir(parents=True)
    (folder / "tiny.gguf").write_bytes(gguf())
    (folder.parent / "1.complete").touch()
    script = (
        "import sys; from gemmahub.cli.main import run; code = run(['list']); "
        "print(sorted(set(sys.modules) & {'kagglehub', 'kagglesdk', 'requests'})); sys.exit(code)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert found.returncode == 0, found.stderr
    assert "kaggle://google/gemma-3/gguf/x/1" in found.stdout.replace("\n", "")
    assert found.stdout.strip().endswith("[]")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_pull_that_was_killed_continues(
    kaggle: RunningKaggle, cache: Path, tmp_path: Path
) -> None:
    files: dict[str, Any] = {"tiny.gguf": gguf() + b"\0" * 3_000_000, "README.md": b"r" * 1000}
    kaggle.add(GGUF, files)
    arguments = [sys.executable, "-m", "gemmahub", "pull", REFERENCE, "--yes"]
    partial = cache / "google/gemma-3/gguf/tiny-q8_0/1/tiny.gguf"
    kaggle.faults["slow"] = "0.05"
    with (tmp_path / "log").open("wb") as log:
        killed = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not partial.exists() or partial.stat().st_size < 500_000:
        assert killed.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = partial.stat().st_size
    assert kept < len(files["tiny.gguf"])
    assert Library().models().variants == ()
    del kaggle.faults["slow"]
    time.sleep(0.2)  # what was on its way to the one that was killed
    before = kaggle.sent
    again = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert tree(partial.parent) == files
    header = 200_000  # what was read to look at it
    assert kaggle.sent - before < sum(map(len, files.values())) - kept + header
