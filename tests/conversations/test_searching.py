"""Searching kept conversations: words of titles and messages, tags, the newest first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gemmahub.conversations import ConversationStore, Described, lines

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> ConversationStore:
    return ConversationStore(tmp_path)


def keep(store: ConversationStore, held: Described, *texts: str, title: str = "") -> str:
    with store.new(held, title) as journal:
        for text in texts:
            journal.add("user", text)
        return journal.id


def found(store: ConversationStore, text: str) -> list[str]:
    return [match.summary.title for match in store.search(text)]


def test_words_stand_in_titles_and_messages(store: ConversationStore) -> None:
    keep(store, Described("x"), "about cats", title="Felines")
    keep(store, Described("x"), "about DOGS and cats", title="Canines")
    assert found(store, "felines") == ["Felines"]
    assert sorted(found(store, "CATS")) == ["Canines", "Felines"]
    assert found(store, "cats dogs") == ["Canines"]
    assert found(store, "birds") == []


def test_a_word_with_a_hash_is_looked_for_in_the_tags(store: ConversationStore) -> None:
    held = Described("gemma-3-270m:q8_0", "Gemma 3 270M", "Q8_0 · int8 · 8.50 bits/weight")
    keep(store, held, "about the 4b", title="Small")
    other = Described("gemma-3-4b-it:q4_0", "Gemma 3 4B", "Q4_0 · int4 · QAT", against=("y",))
    keep(store, other, "about the duel", title="Large")
    assert found(store, "4b") == ["Small"]
    assert found(store, "#4b") == ["Large"]
    assert found(store, "#DUEL") == ["Large"]
    assert found(store, "duel #270m") == []
    assert found(store, "#q8_0 about") == ["Small"]
    assert len(found(store, "#")) == 0  # a hash alone is a word


def test_tags_name_model_precision_and_duel(store: ConversationStore) -> None:
    keep(store, Described("r", "Gemma", "Q4_0 · int4 · QAT", against=("a", "b")), "x")
    keep(store, Described("r"), "y")
    tags = {match.summary.title: match.summary.tags for match in store.search("")}
    assert tags == {"x": ("Gemma", "Q4_0 QAT", "duel"), "y": ("r",)}


def test_who_a_duel_was_against_is_kept(store: ConversationStore) -> None:
    id_ = keep(store, Described("r", against=("a", "b")), "x")
    assert store.load(id_).described.against == ("a", "b")
    (row,) = ConversationStore(store.folder.parent).search("")
    assert row.summary.as_json()["against"] == ("a", "b")


def test_one_that_names_no_duel_is_read_as_before(tmp_path: Path) -> None:
    head = {"kind": "head", "version": 1, "reference": "r"}
    assert lines.read("id", lines.pack(head)).described.against == ()
    odd = lines.read("id", lines.pack(head | {"against": 7}))
    assert odd.described.against == ()
    assert odd.damaged == 1


def test_the_turn_and_the_excerpt_are_those_of_the_first_word(store: ConversationStore) -> None:
    keep(store, Described("r"), "one", "a " * 60 + "quokka", "three", title="T")
    (match,) = store.search("quokka one")
    assert match.turn == 1
    assert match.excerpt.startswith("…")
    assert match.excerpt.endswith("quokka")
    (match,) = store.search("")
    assert (match.turn, match.excerpt) == (2, "three")
    keep(store, Described("r"), title="empty")


def test_the_newest_are_those_that_were_written_last(store: ConversationStore) -> None:
    ids = [keep(store, Described("r"), f"number {n}") for n in range(5)]
    for place, id_ in enumerate(ids):
        os.utime(store.folder / f"{id_}.jsonl", (place, place))
    store = ConversationStore(store.folder.parent)
    some = {match.summary.id for match in store.search("number", newest=2)}
    assert some == set(ids[3:])
    assert len(store.search("number")) == store.count() == 5


def test_what_changes_is_searched_as_it_is_now(store: ConversationStore) -> None:
    id_ = keep(store, Described("r"), "about cats")
    assert found(store, "dogs") == []
    with store.open(id_) as journal:
        journal.add("user", "about dogs")
    assert found(store, "dogs") == ["about cats"]
