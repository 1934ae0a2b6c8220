"""``gemmahub quality`` with small models of llama.cpp's, from the first window to the last."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.cli import output
from gemmahub.measurements.results import from_file
from gemmahub.python_environment import install_command
from gemmahub.service import Library
from gemmahub.testing.model_writer import write_embedding_model, write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]

TEXT = "To be, or not to be, that is the question. " * 50
WINDOWS = 4


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "llamacpp")
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_STORES", "")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = folder / "one-F32.gguf", folder / "two-F32.gguf"
    for seed, path in enumerate(paths):
        write_model(path, seed=seed)
    return paths


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def kept(tmp_path: Path) -> dict[str, int]:
    found = (tmp_path / "cache" / "quality").rglob("*.scores")
    return {f"{path.parent.name}/{path.name}": path.stat().st_mtime_ns for path in found}


def test_models_are_compared_with_a_reference_and_remembered(
    command: Command, models: tuple[Path, Path], text: Path, tmp_path: Path
) -> None:
    one, two = models
    found = command("quality", one, two, "--reference", one, "--text", text, "--json")
    assert found.code == 0, found.err
    same, other = json.loads(found.out)["results"]
    assert same["model"]["reference"] == "one-F32.gguf"
    assert abs(same["divergence"]["mean"].get("value", 0)) < 1e-6
    assert same["divergence"]["same_top"]["value"] == 1
    assert other["divergence"]["mean"]["value"] > 0.1
    assert other["divergence"]["reference"]["reference"] == "one-F32.gguf"
    assert other["divergence"]["method"] == "a sum over the whole vocabulary"
    assert other["perplexity"]["value"] > 1
    assert other["text"] == {**other["text"], "name": "text.txt", "window": 512, "chunks": WINDOWS}
    assert other["text"]["tokens"] == WINDOWS * 255
    assert "llama.cpp" in other["conditions"]["build"]
    assert str(tmp_path) not in found.out
    (tmp_path / "shared.json").write_text(found.out, encoding="utf-8")
    assert len(from_file(tmp_path / "shared.json")) == 2
    remembered = [each.result for each in Library().results.kept]
    assert {each.model.reference for each in remembered} >= {"one-F32.gguf", "two-F32.gguf"}
    before = kept(tmp_path)
    shown = command("quality", one, two, "--reference", one, "--text", text)
    assert shown.code == 0
    assert kept(tmp_path) == before, "what was kept was computed again"
    assert f"{WINDOWS} windows of 512 tokens" in shown.err
    assert "two-F32.gguf" in shown.out
    assert "engine: llama.cpp" in shown.err


def test_perplexity_alone_where_there_is_no_better_precision(
    command: Command, models: tuple[Path, Path], text: Path
) -> None:
    found = command("quality", models[0], "--text", text, "--chunks", 1, "--json")
    (result,) = json.loads(found.out)["results"]
    assert "divergence" not in result
    assert result["text"]["chunks"] == 1
    assert "perplexity only" in found.err


def test_ctrl_c_keeps_what_is_done_and_the_same_command_continues(
    command: Command,
    models: tuple[Path, Path],
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pressed(line: str) -> None:
        if ": 2 of 4 windows" in line:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(output, "progress", pressed)
        found = command("quality", models[0], "--text", text)
    assert found.code == 130
    assert "stopped; 2 of 4 windows of text.txt with Tiny Gemma are saved" in found.err
    assert "run the same command to continue" in found.err
    before = kept(tmp_path)
    assert len(before) == 2
    assert command("quality", models[0], "--text", text).code == 0
    after = kept(tmp_path)
    assert len(after) == WINDOWS
    assert before.items() <= after.items()


def test_a_kill_loses_no_window_that_is_done(
    command: Command, models: tuple[Path, Path], text: Path, tmp_path: Path
) -> None:
    text.write_text(TEXT * 20, encoding="utf-8")
    arguments = [sys.executable, "-m", "gemmahub", "quality", str(models[0]), "--text", str(text)]
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as running:
        while not kept(tmp_path) and running.poll() is None:
            time.sleep(0.02)
        running.kill()
    before = kept(tmp_path)
    assert 0 < len(before) < WINDOWS * 20
    assert command("quality", models[0], "--text", text, "--chunks", len(before) + 2).code == 0
    after = kept(tmp_path)
    assert len(after) == len(before) + 2
    assert before.items() <= after.items()


def test_what_cannot_be_scored_is_refused(
    command: Command, models: tuple[Path, Path], text: Path, tmp_path: Path
) -> None:
    one, two = models
    cases: list[tuple[tuple[Any, ...], int, str]] = [
        ((one, "--text", "missing.txt"), 3, "the text missing.txt cannot be read"),
        ((tmp_path / "missing.gguf",), 3, "missing.gguf"),
        ((), 2, "Missing argument"),
    ]
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    cases.append(((one, "--text", tmp_path / "empty.txt"), 2, "empty.txt is empty"))
    (tmp_path / "short.txt").write_text(TEXT[:900], encoding="utf-8")
    cases.append(((one, "--text", tmp_path / "short.txt"), 2, "fewer tokens than two windows"))
    (tmp_path / "odd.txt").write_bytes(b"\xff\xfe" * 900)
    cases.append(((one, "--text", tmp_path / "odd.txt"), 2, "is not UTF-8 text"))
    write_embedding_model(tmp_path / "embeds.gguf")
    cases.append(((tmp_path / "embeds.gguf", "--text", text), 2, "embed"))
    write_model(tmp_path / "other.gguf", letters="éü")
    cases.append(
        ((tmp_path / "other.gguf", "--reference", two, "--text", text), 2, "different tokenizers")
    )
    for arguments, code, message in cases:
        found = command("quality", *arguments)
        assert (found.code, message in found.err) == (code, True), (arguments, found.err)
    assert not kept(tmp_path)


def test_a_model_that_does_not_fit_is_not_loaded(
    command: Command, models: tuple[Path, Path], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemmahub.service import plans

    no = SimpleNamespace(memory=SimpleNamespace(fits=False, total_bytes=80 << 30))
    monkeypatch.setattr(plans, "plan", lambda *_: no)
    found = command("quality", models[0], "--text", text)
    assert found.code == 4
    assert "does not fit in free memory: it needs 80.00 GiB" in found.err


def test_a_server_alone_cannot_score_and_the_command_that_helps_is_named(
    command: Command, models: tuple[Path, Path], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "llamaserver")
    found = command("quality", models[0], "--text", text)
    assert found.code == 5
    assert "llama-server has no score" in found.err
    assert install_command("gemmahub[llamacpp]") in found.err
    found = command("quality", models[0], "--text", text, "--backend", "llama-server")
    assert found.code == 5


def test_a_full_disk_says_how_to_go_on(
    command: Command, models: tuple[Path, Path], text: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache" / "quality").write_bytes(b"")  # no folder can be made there
    found = command("quality", models[0], "--text", text)
    assert found.code == 1
    assert "the scores cannot be saved" in found.err
    assert "the same command continues" in found.err


def test_answers_stand_side_by_side(
    command: Command, models: tuple[Path, Path], tmp_path: Path
) -> None:
    one, two = models
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("To be or not\nWhat now?\n", encoding="utf-8")
    asked = ("quality", one, two, "--prompts", prompts, "--max-tokens", 8)
    found = command(*asked, "--judge", one, "--json")
    assert found.code == 0, found.err
    first, other = json.loads(found.out)["answers"]
    assert first["differences"] == []
    assert (len(first["answers"]), len(other["answers"])) == (2, 2)
    assert [each["prompt"] for each in other["differences"]] == ["To be or not", "What now?"]
    assert all(each["better"] in ("first", "other", "same") for each in other["differences"])
    shown = command("quality", one, one, two, "--prompts", prompts, "--max-tokens", 8)
    assert shown.code == 0
    assert "100%" in shown.out
    assert "after" in shown.out
    assert command("quality", one, "--judge", two).code == 2
