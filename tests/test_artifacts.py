"""Summaries are remembered by path, size and time, and a broken memory is no failure."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.catalog.header import write_catalog_header
from gemmahub.catalog.loader import load_catalog
from gemmahub.errors import IntegrityError
from gemmahub.memory import unpack
from gemmahub.records.parsing import Unfit
from gemmahub.registry import artifacts
from gemmahub.registry.artifacts import Inspector, read_summary
from gemmahub.testing.gguf_writer import write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.formats.reader import Readers


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.gguf"
    write(path, 8)
    return path


def write(path: Path, rows: int) -> None:
    metadata = {
        "general.architecture": "gemma3",
        "general.name": "M",
        "general.file_type": 2,
        "gemma3.attention.head_count_kv": [1, 2],
        "tokenizer.ggml.tokens": ["a", "b"],
        "tokenizer.chat_template": "{{ messages }}",
    }
    write_gguf(path, metadata, [("blk.0.attn_q.weight", (32, rows), "Q4_0")])


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really read."""
    seen: list[Path] = []

    def read(path: Path, readers: Readers) -> artifacts.FileSummary:
        seen.append(path)
        return read_summary(path, readers)

    monkeypatch.setattr(artifacts, "read_summary", read)
    return seen


def test_a_summary_keeps_what_is_requested(model: Path) -> None:
    summary = read_summary(model)
    assert summary.label == "Q4_0"
    assert summary.parameters == 256
    assert summary.chat_template is True
    assert summary.metadata["gemma3.attention.head_count_kv"] == [1, 2]
    assert summary.metadata["tokenizer.ggml.tokens"] == 2  # how many, not which
    kept = {key for key in summary.metadata if key.startswith("tokenizer.")}
    assert kept == {"tokenizer.ggml.tokens"}


def test_remembered_across_processes(model: Path, tmp_path: Path, reads: list[Path]) -> None:
    database = tmp_path / "cache" / "summaries.sqlite"
    first = Inspector(database)
    summary = first.summary(model)
    first.save()
    assert Inspector(database).summary(model) == summary
    assert len(reads) == 1


def test_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    database = tmp_path / "s.sqlite"
    for name in ("gone", "here"):
        model = tmp_path / f"{name}.gguf"
        write(model, 8)
        inspector = Inspector(database)
        inspector.summary(model)
        inspector.save()
        if name == "gone":
            model.unlink()
    with closing(sqlite3.connect(database)) as opened:
        rows = list(opened.execute("select path from summary"))
    assert rows == [(str(tmp_path / "here.gguf"),)]


def test_a_changed_file_is_read_again(model: Path, tmp_path: Path, reads: list[Path]) -> None:
    database = tmp_path / "s.sqlite"
    first = Inspector(database)
    first.summary(model)
    first.save()
    write(model, 16)
    assert Inspector(database).summary(model).parameters == 512
    os.utime(model, ns=(1, 1))
    assert Inspector(database).summary(model).parameters == 512
    assert len(reads) == 3


def test_a_broken_database_is_made_again(model: Path, tmp_path: Path) -> None:
    database = tmp_path / "s.sqlite"
    database.write_bytes(b"this is not a database" * 100)
    first = Inspector(database)
    assert first.summary(model).parameters == 256
    first.save()
    with closing(sqlite3.connect(database)) as opened:
        assert opened.execute("SELECT count(*) FROM summary").fetchone() == (1,)


def test_a_database_of_something_else_is_left_alone(model: Path, tmp_path: Path) -> None:
    database = tmp_path / "s.sqlite"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE other (x)")
    connection.commit()
    connection.close()
    assert Inspector(database).summary(model).parameters == 256


def test_a_cache_that_cannot_be_written_is_not_a_failure(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inspector = Inspector(tmp_path / "file" / "s.sqlite")
    inspector.summary(model)
    inspector.save()


def test_damaged_files_are_not_remembered(model: Path, tmp_path: Path, reads: list[Path]) -> None:
    os.truncate(model, model.stat().st_size - 100)
    inspector = Inspector(tmp_path / "s.sqlite")
    for _ in range(2):
        with pytest.raises(IntegrityError):
            inspector.summary(model)
    assert len(reads) == 2


def test_what_the_memory_model_needs_is_remembered(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, database = gemma(tmp_path), tmp_path / "s.sqlite"
    first = Inspector(database)
    model = unpack(first.summary(path).memory)
    first.save()
    assert len(reads) == 1
    assert (model[0].name, model[0].context_length) == ("gemma3", 32768)
    assert model[1].bytes == sum(e.bytes or 0 for e in first.summary(path).mix)
    before = len(reads)
    assert unpack(Inspector(database).summary(path).memory) is model
    assert len(reads) == before
    monkeypatch.setattr(artifacts, "RECORD_VERSION", 0)
    Inspector(database).summary(path)
    assert len(reads) == before + 1


def gemma(folder: Path) -> Path:
    """A header-only file with all that the memory model asks for."""
    catalog = load_catalog()
    model, variant = catalog.model("gemma-3-1b-it"), catalog.variant("gemma-3-1b-it", "q4_0-qat")
    assert model is not None
    assert variant is not None
    path = folder / "gemma.gguf"
    write_catalog_header(model, variant, path)
    return path


def remember(database: Path, path: Path, text: object) -> None:
    """Puts ``text`` in the place of what is remembered of a file."""
    first = Inspector(database)
    first.summary(path)
    first.save()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE summary SET summary = ?", (text,))


ODD: list[Any] = [
    None, True, -1, 2**63, 10**400, 1.5, "x", [], [1], [[1, 2, 3, 4, 5]], {}, {"a": {}}, "[" * 5000,
]  # fmt: skip


def remembered_text(path: Path) -> dict[str, Any]:
    text = artifacts._to_json(read_summary(path))
    assert text is not None
    found: dict[str, Any] = json.loads(text)
    return found


FLAGS = (("chat_template", True), ("big_endian", True))  # which a file could have


def odd_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Texts that are no summary of that file, with what is odd about each."""
    about = remembered_text(path)
    memory = json.loads(about["memory"])
    for key in about:
        yield f"without {key}", json.dumps({k: v for k, v in about.items() if k != key})
        for value in ODD:
            if key in ("metadata", "notes", "mix", "label") and value in ({}, [], None, "x"):
                continue  # what a file could say
            text = key in ("format", "label") and isinstance(value, str) and len(value) < 9
            if value != {"a": {}} and not text and (key, value) not in FLAGS:
                yield f"{key} {str(value)[:20]}", json.dumps({**about, key: value})
    yield "one key more", json.dumps({**about, "more": 1})
    yield "deep metadata", json.dumps({**about, "metadata": nested(40)})
    for key in memory:
        changed = [(k, v) for k, v in memory.items() if k != key]
        yield f"memory without {key}", json.dumps({**about, "memory": json.dumps(dict(changed))})
        for value in ODD:
            odd = json.dumps(dict([*changed, (key, value)]))
            yield f"memory {key} {str(value)[:20]}", json.dumps({**about, "memory": odd})
    for key in memory["architecture"]:
        if key not in ("name", "tied_embedding"):
            inner = json.dumps({**memory, "architecture": {**memory["architecture"], key: "x"}})
            yield f"memory architecture {key}", json.dumps({**about, "memory": inner})
    for layers in ([99], [-1], memory["layers"][1:], [0] * 600):
        inner = json.dumps({**memory, "layers": layers})
        yield f"memory layers {str(layers)[:20]}", json.dumps({**about, "memory": inner})
    yield "memory unknown", json.dumps({**about, "memory": '{"unknown": [1, 2]}'})
    yield "memory unknown, of one", json.dumps({**about, "memory": '{"unknown":["x"]}'})


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels else {}


def test_no_odd_text_is_a_summary(tmp_path: Path) -> None:
    path = gemma(tmp_path)
    assert artifacts._from_json(json.dumps(remembered_text(path))) == read_summary(path)
    for kind, text in odd_rows(path):
        with pytest.raises(Unfit):
            pytest.fail(f"{kind}: {artifacts._from_json(text)}")


@pytest.mark.parametrize(
    "text",
    [
        *(None, 5, 2.5, b"\xff\xfe", "", "garbage", "null", "[]", "{}", "[" * 100_000),
        *('{"a":' * 50_000, '{"format": "gguf"}', '{"size_bytes": NaN}', "9" * 5000),
    ],
    ids=lambda text: str(text)[:20],
)
def test_a_remembered_row_that_is_damaged_is_read_again(
    model: Path, tmp_path: Path, reads: list[Path], text: object
) -> None:
    database = tmp_path / "s.sqlite"
    right = read_summary(model)
    remember(database, model, text)
    reads.clear()
    second = Inspector(database)
    assert second.summary(model) == right
    second.save()
    assert Inspector(database).summary(model) == right
    assert reads == [model]  # once: it was written over


def test_a_damaged_row_costs_no_other(model: Path, tmp_path: Path, reads: list[Path]) -> None:
    other = tmp_path / "other.gguf"
    write(other, 16)
    database = tmp_path / "s.sqlite"
    first = Inspector(database)
    first.summary(model)
    first.summary(other)
    first.save()
    reads.clear()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE summary SET summary = x'ff' WHERE path LIKE '%other.gguf'")
        connection.execute("INSERT INTO summary VALUES (NULL, NULL, NULL)")
    second = Inspector(database)
    assert second.summary(model).parameters == 256
    assert second.summary(other).parameters == 512
    assert reads == [other]


def test_a_cache_with_other_columns_is_made_again(
    model: Path, tmp_path: Path, reads: list[Path]
) -> None:
    database = tmp_path / "s.sqlite"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE summary (path, stamp, summary, more)")
        connection.execute("INSERT INTO summary VALUES ('a', 'b', 'c', 'd')")
    first = Inspector(database)
    first.summary(model)
    first.save()
    Inspector(database).summary(model)
    assert len(reads) == 1


def test_a_summary_that_no_text_can_hold_is_not_remembered(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = read_summary(model)
    odd = replace(right, metadata={**right.metadata, "general.name": "\ud800"})
    monkeypatch.setattr(artifacts, "read_summary", lambda path, readers: odd)
    inspector = Inspector(tmp_path / "s.sqlite")
    assert inspector.summary(model) == odd
    inspector.save()
    assert not (tmp_path / "s.sqlite").exists()
