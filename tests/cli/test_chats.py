"""``gemmahub chats`` on real conversations."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.cli import output
from gemmahub.conversations import ConversationStore, Described, Timings, as_markdown, as_text

if TYPE_CHECKING:
    from pathlib import Path

Command = Any

HELD = Described(
    "gemma-3-4b-it:q4_0-qat",
    "Gemma 3 4B",
    "Q4_0 · int4 · QAT · 5.10 bits/weight",
    "echo 1 on none",
)


@pytest.fixture
def store(tmp_path: Path) -> ConversationStore:
    return ConversationStore(tmp_path / "data")


def keep(store: ConversationStore, question: str, answer: str) -> str:
    with store.new(HELD) as journal:
        journal.add("user", question)
        number = journal.begin_answer(HELD.answerer)
        journal.part(number, answer)
        journal.end_answer(number, "stop", Timings(tokens=1, decode_seconds=1.0))
    return journal.id


def named(store: ConversationStore, *ids: str) -> None:
    """Conversations of these ids."""
    for id_ in ids:
        made = keep(store, f"about {id_}", "yes")
        (store.folder / f"{made}.jsonl").rename(store.folder / f"{id_}.jsonl")


def test_without_any_the_list_says_where_they_come_from(command: Command) -> None:
    result = command("chats")
    assert (result.code, result.out) == (0, "")
    assert "terminal UI" in result.err
    assert json.loads(command("chats", "list", "--json").out) == {
        "conversations": [],
        "broken": [],
    }


def test_the_list_has_the_precision_and_the_newest_first(
    command: Command, store: ConversationStore
) -> None:
    first = keep(store, "Capital of France?", "Paris\x1b[2J it is")
    second = keep(store, "Of Spain?", "Madrid")
    with store.open(first) as journal:  # the last changed one stands first
        journal.add("user", "Sure?")
    heading, *rows = command("chats").out.splitlines()
    assert heading.split() == ["title", "model", "precision", "turns", "changed", "id"]
    assert [row.split()[-1] for row in rows] == [first, second]
    assert "Gemma 3 4B  Q4_0 QAT " in rows[0]
    assert rows[0].split("Q4_0 QAT")[1].split()[0] == "3"
    found = command("chats", "list", "--search", "paris france").out
    assert first in found
    assert second not in found
    assert "\x1b" not in found
    assert "Paris it is" in found
    (row,) = json.loads(command("chats", "list", "--search", "madrid", "--json").out)[
        "conversations"
    ]
    assert (row["id"], row["turns"], row["precision"]) == (second, 2, HELD.precision)
    assert row["excerpt"] == "Madrid"


def test_show_tells_what_it_was_held_with(command: Command, store: ConversationStore) -> None:
    id_ = keep(store, "Capital of\x1b]0;x\x07 France?", "Paris")
    shown = command("chats", "show", id_).out
    assert HELD.precision in shown
    assert "\nYou:\nCapital of France?\n\nGemma 3 4B · Q4_0:\nParis\n" in shown
    assert json.loads(command("chats", "show", id_, "--json").out)["messages"][1]["text"] == "Paris"


def test_export_is_what_the_ui_writes(
    command: Command, store: ConversationStore, tmp_path: Path
) -> None:
    id_ = keep(store, "Capital of France?", "Paris")
    saved = store.load(id_)
    assert command("chats", "export", id_).out == as_markdown(saved)
    assert command("chats", "export", id_, "--format", "json").out == as_text(saved, "json")
    for name, format_ in (("a.md", "markdown"), ("b.json", "json"), ("c.txt", "markdown")):
        result = command("chats", "export", id_, "-o", tmp_path / name)
        assert (result.code, result.out) == (0, "")
        assert (tmp_path / name).read_text() == as_text(saved, format_)
    (tmp_path / "a.md").write_text("mine")
    refused = command("chats", "export", id_, "-o", tmp_path / "a.md")
    assert refused.code == 2
    assert "--force" in refused.err
    assert (tmp_path / "a.md").read_text() == "mine"
    forced = ("-o", tmp_path / "a.md", "--format", "json", "--force")
    assert command("chats", "export", id_, *forced).code == 0
    assert (tmp_path / "a.md").read_text() == as_text(saved, "json")
    assert command("chats", "export", id_, "-o", tmp_path / "none" / "a.md").code == 1


def test_a_beginning_is_enough_where_one_has_it(command: Command, store: ConversationStore) -> None:
    named(store, "20260101-a", "20260102-b", "20260102-bc")
    assert "about 20260101-a" in command("chats", "show", "20260101").out
    assert "about 20260102-b\n" in command("chats", "show", "20260102-b").out  # it is one itself
    several = command("chats", "show", "20260102")
    assert several.code == 2
    assert "2 conversations begin with '20260102'" in several.err
    assert "20260102-bc (about 20260102-bc)" in several.err
    unknown = command("chats", "show", "20260111-a")
    assert unknown.code == 3
    assert "did you mean" in unknown.err
    assert "20260101-a (about 20260101-a)" in unknown.err
    for name in ("", "../../etc/passwd", "zzz"):
        nothing = command("chats", "rm", "--yes", name)
        assert nothing.code == 3
        assert "gemmahub chats list" in nothing.err
    assert len(store.rows()) == 3


def test_rename_sets_a_title_and_removes_it(command: Command, store: ConversationStore) -> None:
    id_ = keep(store, "Capital of France?", "Paris")
    assert command("chats", "rename", id_, "Cities").out == f"{id_}  Cities\n"
    assert store.load(id_).shown_title == "Cities"
    assert "Capital of France?" in command("chats", "rename", id_, "").out


def test_rm_asks_and_refuses_without_a_terminal(
    command: Command, store: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(store, "20260101-a", "20260102-b")
    (store.folder / "broken.jsonl").write_text("no")
    refused = command("chats", "rm", "20260101-a")
    assert refused.code == 2
    assert "--yes" in refused.err
    monkeypatch.setattr(output, "interactive", lambda: True)
    for said, code in (("n\n", 1), ("\n", 1), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin", io.StringIO(said))
        result = command("chats", "rm", "20260101", "broken", "20260101-a")
        assert result.code == code
        assert "about 20260101-a" in result.err
        assert "Remove 2 conversations for good?" in result.err
    assert result.out.split() == ["20260101-a", "broken"]
    assert command("chats", "rm", "20260102", "zzz", "--yes").code == 3
    assert [row.id for row in store.rows()] == ["20260102-b"]  # all are found before one goes


def test_what_is_open_elsewhere_is_left_alone(command: Command, store: ConversationStore) -> None:
    id_ = keep(store, "mine", "yes")
    with store.open(id_) as journal:
        for words in (("rm", "--yes", id_), ("rename", id_, "x")):
            refused = command("chats", *words)
            assert refused.code == 2
            assert "open in another gemmahub" in refused.err
        journal.add("user", "and more")
        assert "and more" in command("chats", "show", id_).out
    assert command("chats", "rm", "--yes", id_).code == 0
    assert store.rows() == []


def test_what_cannot_be_read_is_reported(command: Command, store: ConversationStore) -> None:
    keep(store, "fine", "yes")
    (store.folder / "broken.jsonl").write_text("no")
    result = command("chats")
    assert "fine" in result.out
    assert "broken: its first line" in result.err
    (entry,) = json.loads(command("chats", "list", "--json").out)["broken"]
    assert entry["id"] == "broken"
    assert command("chats", "show", "broken").code == 1
