"""What version 0.1 wrote on people's disks is read by this version, and nothing of it is lost.

``tests/data/0.1`` is as that version left it: two conversations (one renamed, one whose first
question was asked again and whose last answer was cut off by a kill), twelve measured speeds of a
model of which nine were kept, the remembered header of one file, the state of the UI and settings.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.config import load_config
from gemmahub.measurements.speed_log import SpeedLog
from gemmahub.tui.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

WRITTEN = Path(__file__).parent / "data" / "0.1"
CAPITALS = "20261128-132726-c815bd30"
REWORDED = "20261128-132727-ba2331a3"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what 0.1 wrote, as this user's files."""
    folder = tmp_path / "kept"
    shutil.copytree(WRITTEN, folder)
    monkeypatch.setenv("GEMMAHUB_DATA", str(folder / "data"))
    monkeypatch.setenv("GEMMAHUB_CACHE", str(folder / "cache"))
    return folder


def shown(command: Callable[..., Any], id_: str) -> dict[str, Any]:
    result = command("chats", "show", id_, "--json")
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    return found


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.usefixtures("kept")
def test_conversations_of_0_1_are_listed(command: Callable[..., Any]) -> None:
    rows = json.loads(command("chats", "list", "--json").out)
    rows = rows["conversations"] if isinstance(rows, dict) else rows
    assert {row["id"]: row["title"] for row in rows} == {
        CAPITALS: "Capitals of Europe",
        REWORDED: "second wording",
    }


@pytest.mark.usefixtures("kept")
def test_a_conversation_of_0_1_is_shown_whole(command: Callable[..., Any]) -> None:
    found = shown(command, CAPITALS)
    assert found["title"] == "Capitals of Europe"
    assert found["reference"] == "gemma-3-4b-it:q4_0-qat"
    assert found["precision"] == "Q4_0 · int4 QAT · 5.10 bits/weight"
    assert found["system"] == "Be brief."
    assert found["sampling"]["seed"] == 7
    assert found["sampling"]["stop"] == ["END"]
    assert found["settings"]["context"] == 8192
    assert found["settings"]["cache_type_k"] == "q8_0"
    assert found["settings"]["options"] == {"batch": 512}
    assert [(m["role"], m["text"]) for m in found["messages"]] == [
        ("user", "The capital of France?"),
        ("assistant", "Paris.\n"),
        ("user", "Und von Österreich? 🇦🇹"),
        ("assistant", "Wien"),
    ]
    assert found["messages"][1]["timings"]["decode_seconds"] == 0.25
    assert found["messages"][2]["images"] == ["/home/ann/wien.png"]
    assert found["messages"][3]["finish"] == "cancelled"


@pytest.mark.usefixtures("kept")
def test_an_answer_that_0_1_did_not_finish_is_kept(command: Callable[..., Any]) -> None:
    messages = shown(command, REWORDED)["messages"]
    assert [(m["role"], m["text"]) for m in messages] == [
        ("user", "second wording"),
        ("assistant", "an answer that was cut o"),
    ]
    assert messages[1]["finish"] == "interrupted"


def test_a_conversation_of_0_1_continues(
    kept: Path, command: Callable[..., Any], tiny_model: Path
) -> None:
    path = kept / "data" / "conversations" / f"{REWORDED}.jsonl"
    before = path.read_bytes()
    answered = command(
        "chats", "continue", REWORDED, "third", "--model", tiny_model, "--backend", "echo"
    )
    assert answered.code == 0, answered.err
    texts = [m["text"] for m in shown(command, REWORDED)["messages"]]
    assert texts[:3] == ["second wording", "an answer that was cut o", "third"]
    assert path.read_bytes().startswith(before)  # appended to, not written again


def test_speeds_measured_by_0_1_count(kept: Path) -> None:
    log = SpeedLog(kept / "data")
    # The last nine of 100 tokens in 10 to 21 seconds; their median took 17.
    assert log.speeds("cpu") == {"gemma-3-4b-it:q4_0-qat": pytest.approx(100 / 17)}
    assert log.speeds("gpu") == {"./model.gguf": pytest.approx(64.0)}


def test_the_state_of_the_ui_of_0_1_is_taken_over(kept: Path) -> None:
    values = State(kept / "data").values
    assert (values.theme, values.show, values.sort) == ("gemmahub-light", "installed", "size")
    assert (values.reverse, values.filter, values.use) == (True, "4b", "fast")


def test_settings_of_0_1_are_read(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(kept / "config.toml"))
    monkeypatch.delenv("GEMMAHUB_STORES")
    config = load_config()
    assert config.folders == (Path("~/models").expanduser(), Path("/srv/gemma"))
    assert config.stores == frozenset({"huggingface", "ollama"})
    assert config.backend == "llama.cpp"
    assert config.backends == {"gguf": "echo", "mlx": "mlx"}


def test_headers_remembered_by_0_1_do_no_harm(
    kept: Path, command: Callable[..., Any], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(tiny_model.parent))
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    for _ in range(2):  # read, then remembered by this version
        listed = json.loads(command("list", "--json").out)
        assert [row["name"] for row in listed["models"]] == ["Tiny"]
    with sqlite3.connect(kept / "cache" / "summaries.sqlite") as database:
        rows = database.execute("select count(*) from summary").fetchone()[0]
    database.close()
    assert rows >= 1


def test_a_conversation_of_a_newer_version_is_left_untouched(
    kept: Path, command: Callable[..., Any]
) -> None:
    path = kept / "data" / "conversations" / f"{CAPITALS}.jsonl"
    head, *rest = path.read_text("utf-8").splitlines()
    newer = json.dumps({**json.loads(head), "version": 99, "spelling": "new"})
    path.write_text("\n".join([newer, *rest]) + "\n", "utf-8")
    before = files_in(kept / "data" / "conversations")
    assert command("chats", "show", CAPITALS).code == 1
    assert command("chats", "continue", CAPITALS, "x", "--backend", "echo").code == 1
    assert command("chats", "rename", CAPITALS, "x").code == 1
    assert "newer" in command("chats", "list").out + command("chats", "list").err
    assert files_in(kept / "data" / "conversations") == before
