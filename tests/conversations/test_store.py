"""Kept conversations: nothing that was written is lost, and damage stays where it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.conversations import (
    BrokenConversation,
    ConversationStore,
    ConversationSummary,
    Described,
    Journal,
    Saved,
    Timings,
    as_json,
    as_markdown,
    file_name,
)
from gemmahub.conversations import lines as file_lines
from gemmahub.engines.contract import Sampling, Settings
from gemmahub.errors import GemmahubError, NotFound, UsageError

if TYPE_CHECKING:
    from pathlib import Path

HELD = Described(
    "gemma-3-4b-it:q4_0-qat",
    "Gemma 3 4B",
    "Q4_0 · int4 · 5.10 bits/weight",
    "echo 1 on none",
    Settings(context=4096, options={"delay": 0.5}),
    Sampling(temperature=0.5, seed=7, stop=("END",)),
    "Be brief.",
)
ANY_TEXT = st.text(st.characters(), max_size=80)  # also lone surrogates and controls


@pytest.fixture
def store(tmp_path: Path) -> ConversationStore:
    return ConversationStore(tmp_path)


def talk(journal: Journal, question: str, *parts: str) -> None:
    journal.add("user", question)
    number = journal.begin_answer(HELD.answerer)
    for part in parts:
        journal.part(number, part)
    journal.end_answer(number, "stop", Timings(tokens=len(parts), decode_seconds=1.0))


def texts(saved: Saved) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in saved.messages]


def test_a_look_at_a_model_leaves_nothing_behind(store: ConversationStore) -> None:
    with store.new(HELD) as journal:
        journal.set(system="other")
        assert journal.saved().described.system == "other"
    assert store.rows() == []
    assert not store.folder.exists()


def test_what_was_held_comes_back(store: ConversationStore) -> None:
    with store.new(HELD) as journal:
        talk(journal, "one", "a", "b")
        journal.set(sampling=Sampling(top_k=None), title="Letters")
    saved = store.load(journal.id)
    assert saved.described.settings == HELD.settings
    assert saved.described.sampling == Sampling(top_k=None)
    assert saved.described.system == "Be brief."
    assert texts(saved) == [("user", "one"), ("assistant", "ab")]
    assert saved.messages[1].timings == Timings(tokens=2, decode_seconds=1.0)
    assert saved.messages[1].finish == "stop"
    assert saved.shown_title == "Letters"
    assert saved.changed >= saved.created > 0
    assert saved.damaged == 0
    assert (os.stat(journal.path).st_mode & 0o777) == 0o600


@given(
    st.lists(st.tuples(ANY_TEXT, st.lists(ANY_TEXT, max_size=4)), min_size=1, max_size=5),
    ANY_TEXT,
)
def test_any_text_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[str, list[str]]], system: str
) -> None:
    store = ConversationStore(tmp_path_factory.mktemp("data"))
    with store.new(Described("x", system=system)) as journal:
        for question, parts in turns:
            talk(journal, question, *parts)
    saved = ConversationStore(store.folder.parent).load(journal.id)
    assert texts(saved) == [
        pair
        for question, parts in turns
        for pair in (("user", question), ("assistant", "".join(parts)))
    ]
    assert saved.described.system == system
    as_markdown(saved).encode()  # an export is text that a file can hold
    assert json.loads(json.dumps(as_json(saved)))["system"] == system
    assert set(file_name(saved, "md")) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(st.integers(0, 10_000))
def test_a_file_cut_anywhere_keeps_what_came_before(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    store = ConversationStore(tmp_path_factory.mktemp("data"))
    with store.new(HELD) as journal:
        talk(journal, "one", "a", "b", "c")
        talk(journal, "two", "d")
    whole = journal.path.read_bytes()
    head = whole.index(b"\n") + 1
    cut = head + cut % (len(whole) - head + 1)
    journal.path.write_bytes(whole[:cut])
    only_the_break_is_missing = whole[cut : cut + 1] == b"\n"
    complete = whole[:cut] if only_the_break_is_missing else whole[:cut].rpartition(b"\n")[0]
    expected = file_lines.read(journal.id, complete + b"\n")
    assert store.load(journal.id) == expected
    assert expected.damaged == 0
    with store.open(journal.id) as again:  # and it goes on from there
        again.add("user", "three")
    assert texts(store.load(journal.id)) == [*texts(expected), ("user", "three")]


@given(st.data())
def test_damage_costs_a_line_and_no_more(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = ConversationStore(tmp_path_factory.mktemp("data"))
    with store.new(HELD) as journal:
        for number in range(4):
            talk(journal, f"q{number}", f"a{number}")
    rows = journal.path.read_bytes().split(b"\n")[:-1]
    place = data.draw(st.integers(1, len(rows) - 1))
    rows[place] = data.draw(st.binary(max_size=60)).replace(b"\n", b"")
    journal.path.write_bytes(b"\n".join(rows) + b"\n")
    saved = store.load(journal.id)
    hurt = (place - 1) // 4  # four lines make a pair of turns
    for number in range(4):
        if number != hurt:
            assert ("user", f"q{number}") in texts(saved)
            assert ("assistant", f"a{number}") in texts(saved)
    with store.open(journal.id) as again:
        talk(again, "more", "yes")
    assert texts(store.load(journal.id))[-2:] == [("user", "more"), ("assistant", "yes")]


@given(st.binary(max_size=300))
def test_any_file_is_a_row(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    store = ConversationStore(tmp_path_factory.mktemp("data"))
    store.folder.mkdir()
    (store.folder / "odd.jsonl").write_bytes(content)
    (row,) = store.rows()
    assert isinstance(row, BrokenConversation)
    assert row.reason
    with pytest.raises(GemmahubError, match="cannot be read"):
        store.open("odd")
    assert store.search("x") == []
    store.delete("odd")
    assert store.rows() == []


def test_broken_ones_stand_below_the_others(store: ConversationStore) -> None:
    with store.new(HELD) as journal:
        talk(journal, "hello", "you")
    (store.folder / "a-folder.jsonl").mkdir()
    newer = json.dumps({"kind": "head", "version": 99})
    (store.folder / "newer.jsonl").write_text(f"{newer}\n")
    (store.folder / "notes.txt").write_text("not ours")
    good, *broken = store.rows()
    assert isinstance(good, ConversationSummary)
    assert (good.title, good.messages, good.model) == ("hello", 2, "Gemma 3 4B")
    assert [row.reason for row in broken if isinstance(row, BrokenConversation)] == [
        "it is not a file",
        "it was written by a newer gemmahub (format 99)",
    ]


def test_search_wants_every_word_in_any_message(store: ConversationStore) -> None:
    for question, answer in (("Capital of France?", "Paris it is"), ("Of Spain?", "MADRID")):
        with store.new(HELD) as journal:
            talk(journal, question, answer)
    assert [m.summary.title for m in store.search("paris france")] == ["Capital of France?"]
    assert [m.excerpt for m in store.search("madrid")] == ["MADRID"]
    assert store.search("paris madrid") == []
    assert len(store.search("")) == 2
    assert store.questions() == ["Capital of France?", "Of Spain?"]
    assert store.questions(1) == ["Of Spain?"]


def test_rename_and_delete(store: ConversationStore) -> None:
    with store.new(HELD) as journal:
        talk(journal, "hello", "you")
        with pytest.raises(UsageError, match="open in another"):
            store.rename(journal.id, "no")
    store.rename(journal.id, "A\x1b[31m better\ntitle")
    assert [m.summary.title for m in store.search("")] == ["A better title"]
    store.delete(journal.id)
    with pytest.raises(NotFound):
        store.load(journal.id)
    with pytest.raises(NotFound):
        store.delete(journal.id)


@pytest.mark.parametrize("name", ["../outside", "", "a/b", ".hidden", "x" * 200])
def test_no_name_leads_out_of_the_folder(store: ConversationStore, name: str) -> None:
    with pytest.raises(NotFound):
        store.load(name)
    with pytest.raises(NotFound):
        store.delete(name)


def test_turns_are_replaced_from_one_on(store: ConversationStore) -> None:
    with store.new(HELD) as journal:
        talk(journal, "one", "a")
        talk(journal, "two", "b")
        journal.cut(2)
        talk(journal, "three", "c")
        assert [m.number for m in journal.saved().messages] == [0, 1, 2, 3]
    assert [text for _, text in texts(store.load(journal.id))] == ["one", "a", "three", "c"]


def test_an_answer_that_runs_is_not_interrupted(store: ConversationStore) -> None:
    with store.new(HELD) as journal:
        journal.add("user", "one")
        journal.part(journal.begin_answer(""), "half")
        assert journal.saved().messages[-1].finish == ""
        assert store.load(journal.id).messages[-1].finish == "interrupted"
        assert store.load(journal.id).messages[-1].text == "half"


def test_a_full_disk_is_reported(store: ConversationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.new(HELD) as journal:
        journal.add("user", "one")

        def full(*arguments: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(GemmahubError, match="No space left on device") as caught:
            journal.add("user", "two")
        assert "export" in caught.value.hint
        monkeypatch.undo()


def test_export_shows_what_was_held_and_how(store: ConversationStore) -> None:
    with store.new(HELD) as journal:
        journal.add("user", "Look", ["/tmp/a_b.png"])
        number = journal.begin_answer("Another · Q8_0")
        journal.part(number, "I \x1b[31msee\n\n```\ncode\n```")
        journal.end_answer(
            number, "cancelled", Timings(tokens=4, decode_seconds=2, first_token_seconds=0.25)
        )
    text = as_markdown(store.load(journal.id))
    assert text.startswith("# Look\n\n- Model: Gemma 3 4B\n")
    assert "- Precision: Q4\\_0 · int4 · 5.10 bits/weight\n" in text
    assert "## System\n\nBe brief.\n" in text
    assert "*Image: /tmp/a\\_b.png*" in text
    assert "## Model (Another · Q8\\_0)\n\nI see\n\n```\ncode\n```\n\n" in text
    assert "*4 tokens · 2.0 tokens/s · first token after 0.25 s · ended by: cancelled*" in text


WRITER = """
import sys
from pathlib import Path
from gemmahub.conversations import ConversationStore, Described
store = ConversationStore(Path(sys.argv[1]))
journal = store.new(Described("x"))
journal.add("user", "count")
number = journal.begin_answer("counter")
print(journal.id, flush=True)
for count in range(10**9):
    journal.part(number, f"{count} ")
    print(count, flush=True)  # shown only after it was kept
"""


def test_kill_nine_loses_nothing_that_was_shown(store: ConversationStore) -> None:
    command = [sys.executable, "-c", WRITER, str(store.folder.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        id_ = writer.stdout.readline().strip()
        for _ in range(500):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        shown = [line for line in writer.stdout.read().split("\n")[:-1] if line]
    last = int(shown[-1]) if shown else 499
    question, answer = store.load(id_).messages
    assert (question.text, answer.finish) == ("count", "interrupted")
    kept = answer.text.split()
    assert kept == [str(count) for count in range(len(kept))]
    assert len(kept) > last
    with store.open(id_) as journal:  # the lock went with the process
        journal.add("user", "go on")
