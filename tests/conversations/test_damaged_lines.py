"""Lines of a conversation: each field is of its type and in its range, or has its default."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.conversations import (
    BrokenConversation,
    ConversationStore,
    Described,
    Saved,
    Timings,
    as_json,
    as_markdown,
    lines,
)
from gemmahub.conversations.line_records import (
    LAST_NUMBER,
    SamplingFields,
    SettingsFields,
    TimingsFields,
)
from gemmahub.engines.contract import Sampling, Settings
from gemmahub.errors import GemmahubError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ID = "20260101-000000-aaaaaaaa"
HEAD: dict[str, Any] = {
    "kind": "head", "version": 1, "created": 1.7e9, "title": "T", "reference": "a", "model": "b",
    "precision": "Q4_0", "engine": "e", "system": "s",
    "settings": {"context": 4096, "gpu_layers": None, "options": {"delay": 0.5}},
    "sampling": {"temperature": 0.5, "seed": 7, "stop": ["END"]},
}  # fmt: skip
REST: list[dict[str, Any]] = [
    {"kind": "message", "n": 0, "role": "user", "text": "hi", "at": 1.7e9, "images": ["/a.png"]},
    {"kind": "answer", "n": 1, "model": "m", "at": 1.7e9},
    {"kind": "part", "n": 1, "text": "hello"},
    {"kind": "end", "n": 1, "finish": "stop", "at": 1.7e9, "error": "",
     "timings": {"tokens": 5, "decode_seconds": 1.0, "truncated": False}},
    {"kind": "set", "title": "U", "at": 1.7e9},
    {"kind": "message", "n": 2, "role": "user", "text": "last", "at": 1.7e9},
]  # fmt: skip
PLACES = [
    (number, keys)
    for number, record in enumerate([HEAD, *REST])
    for key, value in record.items()
    if key not in ("kind", "version")
    for keys in ([(key,)] + [(key, inner) for inner in (value if isinstance(value, dict) else ())])
]
ODD: list[Any] = [
    None, True, -1, 9e11, 2.5, 2**63, 2**64, 10**400, float("nan"), float("inf"), -float("inf"),
    "", "x", "\ud83d", "a\0b", "\x1b[2J\u202e", [], [1], ["\0"], [[]], {}, {"a": 1}, {"": None},
]  # fmt: skip


def whole(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def with_value(place: tuple[int, tuple[str, ...]], value: Any) -> list[dict[str, Any]]:
    """The records with one value replaced."""
    number, keys = place
    records: list[dict[str, Any]] = json.loads(json.dumps([HEAD, *REST]))
    holder = records[number]
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = value
    return records


def check(data: bytes) -> Saved:
    """Read it, and show and export it as the commands do."""
    saved = lines.read(ID, data)
    as_markdown(saved).encode()
    text = json.dumps(as_json(saved), allow_nan=False)
    assert json.loads(text)["id"] == ID
    assert 0 <= saved.created <= saved.changed < 32_503_680_000
    for message in saved.messages:
        assert message.timings is None or str(message.timings)
        assert not any("\0" in path for path in message.images)
    return saved


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_an_odd_value_costs_no_more_than_its_line(place: tuple[int, tuple[str, ...]]) -> None:
    for value in ODD:
        saved = check(whole(*with_value(place, value)))
        texts = [message.text for message in saved.messages]
        assert ("last" in texts) or place[0] == 6
        assert ("hi" in texts) or place[0] in (1, 6)  # a wrong number puts others out of turn
        assert bool(saved.damaged) == bool(saved.problem)


def test_a_wrong_value_is_reported_with_its_place() -> None:
    for place, value, problem in (
        ((0, ("created",)), 9e11, "line 1: created: expected a number < 32503680000.0"),
        ((4, ("timings", "tokens")), [1], "line 5: timings: tokens: expected a whole number"),
        ((0, ("settings", "ubatch")), "x", "line 1: settings: ubatch: expected a whole number"),
        ((1, ("role",)), "robot", "line 2: role: 'robot' is not one of user, assistant, system"),
        ((3, ("text",)), 5, "line 4: text: expected a text, got a whole number"),
    ):
        saved = check(whole(*with_value(place, value)))
        assert saved.damaged == 1
        assert saved.problem.startswith(problem)


def test_an_odd_field_costs_no_other_field() -> None:
    saved = check(whole(*with_value((4, ("timings", "tokens")), [1])))
    assert saved.messages[1].timings == Timings(decode_seconds=1.0)
    assert (saved.messages[1].finish, saved.messages[1].text) == ("stop", "hello")
    saved = check(whole(*with_value((0, ("sampling", "temperature")), "warm")))
    assert saved.described.sampling == Sampling(seed=7, stop=("END",))
    assert saved.described.settings.options == {"delay": 0.5}
    saved = check(whole(*with_value((5, ("title",)), 5)))
    assert saved.title == "T"  # the title before stays


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"kind":' * 50_000,
        b'{"kind":"message","n":0,"role":"user","text":"x","images":' + b"[" * 100_000,
        b'{"kind":"set","settings":{"options":' + b'{"a":' * 200 + b"1" + b"}" * 202,
        b'{"kind":"part","n":' + b"9" * 5000 + b',"text":"x"}',
        b'{"kind":"part","n":1e999,"text":"x"}',
        b'{"kind":"part","n":1,"text":"x"} trailing',
        b'{"kind":"part","n":1,"text":"\xff\xfe"}',
        b'{"kind":"cat","n":1}',
        b'{"kind":["set"]}',
        b'"kind"',
        b"NaN",
        b"\0" * 50,
    ],
    ids=lambda line: line[:30].decode("latin-1"),
)
def test_a_line_that_is_not_a_record_is_passed_over(line: bytes) -> None:
    records = whole(HEAD, *REST).split(b"\n")
    saved = check(b"\n".join([*records[:-2], line, *records[-2:]]))
    assert [message.text for message in saved.messages] == ["hi", "hello", "last"]
    assert saved.damaged == 1
    assert saved.problem.startswith("line 7: ")
    head = lines.read(ID, whole(HEAD, *REST))
    assert (saved.title, saved.described) == (head.title, head.described)


def test_half_of_a_surrogate_pair_is_not_damage() -> None:
    saved = check(whole(*with_value((3, ("text",)), "a\ud83d")))
    assert (saved.messages[1].text, saved.damaged) == ("a\ud83d", 0)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.sampled_from(PLACES), _json | st.sampled_from(ODD)), max_size=4))
def test_any_values_are_a_conversation(changes: list[tuple[Any, Any]]) -> None:
    records: list[dict[str, Any]] = json.loads(json.dumps([HEAD, *REST]))
    for (number, keys), value in changes:
        holder: Any = records[number]
        for key in keys[:-1]:
            holder = holder[key] if isinstance(holder[key], dict) else {}
        holder[keys[-1]] = deepcopy(value)  # a later change may be inside it
    check(whole(*records))


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (2, "newer gemmahub (format 2)"), (10**300, "newer gemmahub (another format)"),
        (0, "its format"), (-1, "its format"), (True, "its format"), ("1", "its format"),
        (None, "its format"), (1.0, "its format"), ([1], "its format"),
    ],
    ids=str,
)  # fmt: skip
def test_a_file_of_another_format_is_refused_untouched(
    tmp_path: Path, version: Any, words: str
) -> None:
    store = ConversationStore(tmp_path)
    store.folder.mkdir()
    path = store.folder / f"{ID}.jsonl"
    path.write_bytes(whole(HEAD | {"version": version, "created": {"new": "kind"}}, *REST))
    before = path.read_bytes()
    (row,) = store.rows()
    assert isinstance(row, BrokenConversation)
    assert words in row.reason
    for act in (store.load, store.open, lambda id_: store.rename(id_, "x")):
        with pytest.raises(GemmahubError, match="cannot be read") as caught:
            act(ID)
        assert "left unchanged" in caught.value.hint
    assert path.read_bytes() == before


def test_a_conversation_that_continues_keeps_its_damaged_lines(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    store.folder.mkdir()
    path = store.folder / f"{ID}.jsonl"
    path.write_bytes(whole(*with_value((4, ("timings",)), "x")) + b"torn")
    before = path.read_bytes()
    with store.open(ID) as journal:
        journal.add("user", "more")
    assert path.read_bytes().startswith(before)
    assert store.load(ID).messages[-1].text == "more"


def test_numbers_at_their_end_are_not_continued(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    store.folder.mkdir()
    path = store.folder / f"{ID}.jsonl"
    path.write_bytes(whole(HEAD, REST[0] | {"n": LAST_NUMBER}))
    assert store.load(ID).messages[0].text == "hi"
    with pytest.raises(GemmahubError, match="cannot be continued"):
        store.open(ID)
    path.write_bytes(whole(HEAD, REST[0] | {"n": LAST_NUMBER + 1}))
    assert ConversationStore(tmp_path).load(ID).damaged == 1


def test_a_file_that_is_too_long_is_a_row(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    store.folder.mkdir()
    with (store.folder / f"{ID}.jsonl").open("wb") as file:
        file.truncate(lines.MAX_FILE + 1)  # sparse
    (row,) = store.rows()
    assert isinstance(row, BrokenConversation)
    assert row.reason == "it is longer than 256 MB"


@pytest.mark.parametrize(
    ("written", "read"),
    [(Settings, SettingsFields), (Sampling, SamplingFields), (Timings, TimingsFields)],
)
def test_every_field_that_is_written_is_read(written: Any, read: Any) -> None:
    assert {field.name for field in fields(written)} == set(read.__struct_fields__)
    usual = written()
    assert all(getattr(read(), f.name) == getattr(usual, f.name) for f in fields(written))


@pytest.mark.parametrize("name", ["show", "export"])
def test_a_damaged_conversation_is_a_warning_that_names_its_file(
    tmp_path: Path, command: Callable[..., Any], name: str
) -> None:
    folder = tmp_path / "data" / "conversations"
    folder.mkdir(parents=True)
    odd = [HEAD | {"created": 9e11, "title": 5}, *REST]
    (folder / f"{ID}.jsonl").write_bytes(whole(*odd))
    (folder / "20260102-000000-bbbbbbbb.jsonl").write_bytes(whole(HEAD, *REST))
    listed = command("chats", "list")
    assert listed.code == 0
    assert "20260102-000000-bbbbbbbb" in listed.out
    assert listed.err.count("warning: ") == 1
    assert str(folder / f"{ID}.jsonl") in listed.err
    assert "line 1: created: expected a number" in listed.err
    done = command("chats", name, ID)
    assert done.code == 0
    assert done.err.count("1 line of its file cannot be read;") == 1


def test_a_head_is_written_as_it_is_read() -> None:
    held = Described("r", "m", "p", "e", Settings(context=1), Sampling(seed=2**63), "s")
    head = {"kind": "head", "version": 1, "created": 1.0, "title": "t", **held.as_json()}
    assert lines.read(ID, lines.pack(head)).described == held
