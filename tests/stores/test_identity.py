"""What a model is: recorded, remembered or computed sums, and one row for several places."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.errors import IntegrityError, NotFound
from gemmahub.registry.artifacts import Inspector
from gemmahub.registry.registry import Registry
from gemmahub.stores.folder import FolderStore
from gemmahub.stores.hf_cache import HuggingFaceStore
from gemmahub.stores.identity import ContentSums, content_of, recorded_sha256, weight_files
from gemmahub.stores.usage import disk_usage, find_duplicates
from gemmahub.testing.gguf_writer import write_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Store
    from gemmahub.registry.variants import Models
    from tests.stores.conftest import Hub

METADATA = {"general.architecture": "gemma3", "general.name": "Gemma", "gemma3.block_count": 1}


def model(path: Path, seed: int = 0) -> bytes:
    """A real, small GGUF file; returns its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(path, {**METADATA, "general.seed": seed}, [("token_embd.weight", (256, 64), "Q8_0")])
    return path.read_bytes()


def installed(sums: ContentSums | None, *stores: Store) -> Models:
    return Registry(
        load_catalog(), lambda: [store.inventory() for store in stores], Inspector(None), sums
    ).installed()


def test_recorded_computed_and_remembered(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"content")
    expected = hashlib.sha256(b"content").hexdigest()
    database = tmp_path / "cache" / "sums.sqlite"
    sums = ContentSums(database)
    seen: list[int] = []
    assert sums.known(path) is None
    assert sums.compute(path, seen.append) == expected
    assert seen == [7]
    assert sums.compute(path, seen.append) == expected
    assert seen == [7], "it is not read twice"
    assert ContentSums(database).known(path) == expected
    (tmp_path / "link.gguf").symlink_to(path)
    assert ContentSums(database).known(tmp_path / "link.gguf") == expected


def test_a_changed_file_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"content")
    sums = ContentSums(tmp_path / "sums.sqlite")
    sums.compute(path)
    status = path.stat()
    other = tmp_path / "new"
    other.write_bytes(b"CONTENT")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)  # same path, length and time: the inode tells
    assert sums.known(path) is None
    assert sums.compute(path) == hashlib.sha256(b"CONTENT").hexdigest()


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"content")

    def write(count: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(IntegrityError, match="changed while it was read"):
        ContentSums(None).compute(path, write)
    with pytest.raises(NotFound):
        ContentSums(None).compute(tmp_path / "none.gguf")


@pytest.mark.parametrize("content", [b"not a database", b""])
def test_a_broken_database_is_not_a_failure(tmp_path: Path, content: bytes) -> None:
    database = tmp_path / "sums.sqlite"
    database.write_bytes(content)
    path = tmp_path / "x.gguf"
    path.write_bytes(b"content")
    assert ContentSums(database).compute(path) == hashlib.sha256(b"content").hexdigest()


def test_names_of_blobs_are_records(hub: Hub, tmp_path: Path) -> None:
    snapshot = hub.add("user/repo", {"x.gguf": b"content", "README.md": b"text"})
    expected = hashlib.sha256(b"content").hexdigest()
    assert recorded_sha256(snapshot / "x.gguf") == expected
    assert recorded_sha256(snapshot / "README.md") is None
    blob = tmp_path / f"sha256-{expected}"
    blob.write_bytes(b"content")
    assert recorded_sha256(blob) == expected


def test_a_split_model_is_known_by_all_its_parts(tmp_path: Path, hub: Hub) -> None:
    parts = {f"s-0000{n}-of-00002.gguf": b"part %d" % n for n in (1, 2)}
    hub.add("user/repo", parts)
    for name, content in parts.items():
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(content)
    (theirs,) = HuggingFaceStore(hub.root).inventory().artifacts
    (mine,) = FolderStore(tmp_path / "mine", "mine").inventory().artifacts
    sums = ContentSums(None)
    assert content_of(mine, sums) is None
    for file in weight_files(mine):
        sums.compute(file)
    assert content_of(mine, sums) == content_of(theirs, sums)


def test_one_model_in_three_places_is_one_row(tmp_path: Path, hub: Hub) -> None:
    content = model(tmp_path / "mine" / "x.gguf")
    hub.add("user/repo", {"gemma.gguf": content})
    hub.add("other/name", {"another.gguf": content})
    stores = HuggingFaceStore(hub.root), FolderStore(tmp_path / "mine", "mine")
    sums = ContentSums(tmp_path / "sums.sqlite")
    assert len(installed(sums, *stores).variants) == 2, "the folder's file was never read"
    sums.compute(tmp_path / "mine" / "x.gguf")
    (variant,) = installed(ContentSums(tmp_path / "sums.sqlite"), *stores).variants
    assert [a.store for a in variant.artifacts] == ["huggingface", "huggingface", "mine"]
    assert variant.reference == "hf://other/name/another.gguf"


def test_names_of_one_file_are_one_row(tmp_path: Path) -> None:
    model(tmp_path / "a" / "x.gguf")
    (tmp_path / "b").mkdir()
    os.link(tmp_path / "a" / "x.gguf", tmp_path / "b" / "hard.gguf")
    (tmp_path / "b" / "soft.gguf").symlink_to(tmp_path / "a" / "x.gguf")
    model(tmp_path / "b" / "other.gguf", seed=1)
    stores = FolderStore(tmp_path / "a", "a"), FolderStore(tmp_path / "b", "b")
    first, second = installed(None, *stores).variants
    assert [a.path.name for a in first.artifacts] == ["x.gguf", "hard.gguf", "soft.gguf"]
    assert [a.path.name for a in second.artifacts] == ["other.gguf"]


def test_places_that_meet_late_are_joined(tmp_path: Path, hub: Hub) -> None:
    content = model(tmp_path / "a" / "x.gguf")
    hub.add("user/repo", {"gemma.gguf": content})
    # Known to be both: a link to the blob, and a name of the folder's file, seen last.
    (tmp_path / "z").mkdir()
    sums = ContentSums(None)
    os.link(tmp_path / "a" / "x.gguf", tmp_path / "z" / "x.gguf")
    sums.compute(tmp_path / "z" / "x.gguf")
    stores = (
        FolderStore(tmp_path / "a", "a"),
        HuggingFaceStore(hub.root),
        FolderStore(tmp_path / "z", "z"),
    )
    (variant,) = installed(sums, *stores).variants
    assert {a.store for a in variant.artifacts} == {"a", "huggingface", "z"}


def test_a_damaged_blob_is_not_the_whole_one(tmp_path: Path, hub: Hub) -> None:
    content = model(tmp_path / "x.gguf")
    hub.add("user/one", {"x.gguf": content})
    hub.add("user/two", {"x.gguf": content})
    with (hub.repository("user/two") / "blobs" / hashlib.sha256(content).hexdigest()).open(
        "ab"
    ) as f:
        f.write(b"surplus")
    models = installed(None, HuggingFaceStore(hub.root))
    assert len(models.variants) + len(models.broken) == 2


# --- disk usage --------------------------------------------------------------------------------


def test_disk_usage_counts_each_content_once(tmp_path: Path, hub: Hub) -> None:
    content = model(tmp_path / "mine" / "x.gguf")
    size = (tmp_path / "mine" / "x.gguf").stat().st_blocks * 512
    os.link(tmp_path / "mine" / "x.gguf", tmp_path / "mine" / "hard.gguf")
    (tmp_path / "mine" / "notes.txt").write_bytes(b"n" * 5000)
    hub.add("user/repo", {"x.gguf": content})
    partial = hub.repository("user/repo") / "blobs" / "y.incomplete"
    partial.write_bytes(b"p" * 9000)
    stores = HuggingFaceStore(hub.root), FolderStore(tmp_path / "mine", "mine")
    sums = ContentSums(None)
    sums.compute(tmp_path / "mine" / "x.gguf")
    blob = hub.repository("user/repo") / "blobs" / hashlib.sha256(content).hexdigest()
    usage = disk_usage(installed(sums, *stores).variants, stores, sums)
    theirs, mine = usage.stores
    assert (theirs.store, theirs.models, theirs.model_bytes) == (
        "huggingface",
        1,
        blob.stat().st_blocks * 512,
    )
    assert theirs.other_bytes >= 9000
    assert (mine.models, mine.model_bytes) == (2, size)
    assert 5000 <= mine.other_bytes <= 8192
    assert usage.disk_bytes == sum(s.model_bytes + s.other_bytes for s in usage.stores)
    (row,) = usage.models
    assert row.disk_bytes == theirs.model_bytes + size
    (duplicate,) = usage.duplicates
    assert duplicate.extra_bytes == duplicate.linkable_bytes == min(size, theirs.model_bytes)
    assert usage.as_json()["duplicates"][0]["sha256"] == hashlib.sha256(content).hexdigest()


def test_files_of_one_length_may_be_duplicates(tmp_path: Path) -> None:
    model(tmp_path / "a" / "x.gguf")
    model(tmp_path / "b" / "y.gguf")
    artifacts = FolderStore(tmp_path, "mine").inventory().artifacts
    found, unknown = find_duplicates(artifacts, ContentSums(None))
    assert found == []
    assert {path.name for path in unknown} == {"x.gguf", "y.gguf"}


def test_a_sparse_file_counts_with_its_blocks(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    model(path)
    store = FolderStore(tmp_path, "mine")
    usage = disk_usage(installed(None, store).variants, [store], ContentSums(None))
    assert usage.models[0].disk_bytes == path.stat().st_blocks * 512
    assert usage.models[0].disk_bytes < (usage.models[0].size_bytes or 0) + 8192


@pytest.mark.parametrize(
    "sha256", [None, 5, b"\xff", "", "x", "A" * 64, "a" * 63, "a" * 65, "../" + "a" * 61]
)
def test_a_remembered_sum_that_is_none_is_computed_again(tmp_path: Path, sha256: object) -> None:
    path, database = tmp_path / "m.gguf", tmp_path / "s.sqlite"
    right = hashlib.sha256(model(path)).hexdigest()
    assert ContentSums(database).compute(path) == right
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE content SET sha256 = ?", (sha256,))
        connection.execute("INSERT INTO content VALUES (NULL, x'ff', 7)")
    again = ContentSums(database)
    assert again.remembered(path) is None
    assert again.compute(path) == right
    assert ContentSums(database).remembered(path) == right
