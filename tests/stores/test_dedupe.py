"""Sharing copies: what is planned, what is refused and why, kill -9 anywhere, and undoing it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Inventory
from gemmahub.errors import DoesNotFit, GemmahubError, NotFound
from gemmahub.stores.dedupe import plan_dedupe
from gemmahub.stores.dedupe_record import valid_entry
from gemmahub.stores.folder import FolderStore
from gemmahub.stores.hf_cache import HuggingFaceStore
from gemmahub.stores.identity import ContentSums
from gemmahub.stores.linking import dedupe, dedupe_records, undo_dedupe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import ManagedStore
    from gemmahub.stores.dedupe import DedupePlan
    from tests.stores.conftest import Hub, Killed, PlainUser

CONTENT = b"GGUF" + os.urandom(80_000)
OTHER = b"GGUF" + os.urandom(80_000)
NAMES = ("one", "two", "three")


def plan_of(*stores: ManagedStore, reflink: bool = False) -> DedupePlan:
    artifacts = [a for store in stores for a in store.inventory().artifacts]
    return plan_dedupe(artifacts, stores, ContentSums(None), reflink=reflink)


@pytest.fixture
def folders(tmp_path: Path) -> list[FolderStore]:
    """Three folders with a copy of one model each, and a model of the same length."""
    for number, name in enumerate(NAMES):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "x.gguf").write_bytes(CONTENT)
        os.utime(folder / "x.gguf", ns=(10**18 + number, 10**18 + 7 * number))
    (tmp_path / "three" / "other.gguf").write_bytes(OTHER)
    return [FolderStore(tmp_path / name, name) for name in NAMES]


def inodes(stores: Sequence[FolderStore]) -> set[int]:
    return {(store.folder / "x.gguf").stat().st_ino for store in stores}


def test_copies_become_one_file(folders: list[FolderStore], data: Path) -> None:
    before = sum((f.folder / "x.gguf").stat().st_blocks * 512 for f in folders)
    plan = plan_of(*folders)
    assert plan.method == "hardlink"
    assert len(plan.shares) == 2
    assert plan.freed_bytes == before * 2 // 3
    assert len(inodes(folders)) == 3, "planning changes nothing"
    done = dedupe(plan, data=data)
    assert done.freed_bytes == plan.freed_bytes
    assert len(inodes(folders)) == 1
    for folder in folders:
        assert (folder.folder / "x.gguf").read_bytes() == CONTENT
        assert {p.name for p in folder.folder.iterdir()} <= {"x.gguf", "other.gguf"}
    assert (folders[2].folder / "other.gguf").read_bytes() == OTHER
    assert plan_of(*folders).shares == ()


def test_undoing_makes_copies_with_their_old_times(folders: list[FolderStore], data: Path) -> None:
    (folders[1].folder / "x.gguf").chmod(0o640)
    facts = [(f.folder / "x.gguf").stat() for f in folders]
    done = dedupe(plan_of(*folders), data=data)
    assert done.record is not None
    assert dedupe_records(data) == [done.record]
    undone = undo_dedupe(done.record)
    assert len(undone.copied) == 2
    assert len(inodes(folders)) == 3
    for folder, fact in zip(folders, facts, strict=True):
        status = (folder.folder / "x.gguf").stat()
        assert (status.st_mode, status.st_mtime_ns) == (fact.st_mode, fact.st_mtime_ns)
        assert (folder.folder / "x.gguf").read_bytes() == CONTENT
    assert dedupe_records(data) == []


def test_undoing_leaves_what_was_replaced_since(folders: list[FolderStore], data: Path) -> None:
    done = dedupe(plan_of(*folders), data=data)
    assert done.record is not None
    changed = done.shared[0]
    changed.unlink()
    changed.write_bytes(b"new")
    undone = undo_dedupe(done.record)
    assert changed.read_bytes() == b"new"
    assert [kept.path for kept in undone.skipped] == [changed]
    assert len(undone.copied) == 1


def test_blobs_are_shared_and_links_are_left_alone(hub: Hub, data: Path) -> None:
    from huggingface_hub import scan_cache_dir

    snapshots = [hub.add(name, {"x.gguf": CONTENT, "README.md": b""}) for name in ("u/a", "u/b")]
    store = HuggingFaceStore(hub.root)
    plan = plan_of(store)
    (share,) = plan.shares
    assert share.path.parent.name == share.kept.parent.name == "blobs"
    dedupe(plan, data=data)
    one, other = (snapshot / "x.gguf" for snapshot in snapshots)
    assert one.is_symlink()
    assert other.is_symlink()
    assert one.samefile(other)
    assert scan_cache_dir(hub.root).warnings == []


def test_a_blob_whose_name_lies_is_not_shared(hub: Hub, data: Path) -> None:
    snapshots = [hub.add(name, {"x.gguf": CONTENT}) for name in ("user/a", "user/b")]
    damaged = bytearray(CONTENT)
    damaged[40_000] ^= 1
    (snapshots[0] / "x.gguf").resolve().write_bytes(damaged)
    plan = plan_of(HuggingFaceStore(hub.root))
    assert len(plan.shares) == 1
    done = dedupe(plan, data=data)
    assert done.shared == ()
    assert "one of them is damaged" in done.skipped[0].reason
    assert (snapshots[0] / "x.gguf").read_bytes() == bytes(damaged)
    assert (snapshots[1] / "x.gguf").read_bytes() == CONTENT


def test_a_file_that_is_being_written(folders: list[FolderStore], data: Path) -> None:
    with (folders[0].folder / "x.gguf").open("ab"):
        plan = plan_of(*folders[:2])
    assert plan.shares == ()
    assert f"process {os.getpid()}" in plan.refused[0].reason
    plan = plan_of(*folders[:2])
    assert len(plan.shares) == 1
    with plan.shares[0].path.open("rb"):
        done = dedupe(plan, data=data)
    assert done.shared == ()
    assert "close it first" in done.skipped[0].reason


def test_a_file_that_a_process_has_mapped(folders: list[FolderStore]) -> None:
    program = (
        "import mmap, sys\n"
        "with open(sys.argv[1], 'rb') as f: m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\n"
        "print('mapped', flush=True); sys.stdin.read()"
    )
    path = folders[0].folder / "x.gguf"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"mapped\n"
        plan = plan_of(*folders[:2])
        process.communicate(b"")
    assert plan.shares == ()
    assert f"process {process.pid}" in plan.refused[0].reason


def test_a_file_that_changed_since_the_plan(folders: list[FolderStore], data: Path) -> None:
    plan = plan_of(*folders[:2])
    plan.shares[0].kept.write_bytes(OTHER)
    done = dedupe(plan, data=data)
    assert done.shared == ()
    assert plan.shares[0].path.read_bytes() == CONTENT


def test_another_file_system(tmp_path: Path) -> None:
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    (tmp_path / "x.gguf").write_bytes(CONTENT)
    with TemporaryDirectory(dir="/dev/shm") as name:
        (Path(name) / "x.gguf").write_bytes(CONTENT)
        plan = plan_of(FolderStore(tmp_path, "here"), FolderStore(Path(name), "there"))
    assert plan.shares == ()
    assert "another file system" in plan.refused[0].reason


@pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="only root may give files away")
def test_another_owner(folders: list[FolderStore]) -> None:
    os.chown(folders[0].folder / "x.gguf", 12345, 12345)
    plan = plan_of(*folders[:2])
    assert plan.shares == ()
    assert "owner" in plan.refused[0].reason


def test_the_mode_that_lets_most_read_is_kept(folders: list[FolderStore]) -> None:
    (folders[0].folder / "x.gguf").chmod(0o600)
    (folders[1].folder / "x.gguf").chmod(0o644)
    (share,) = plan_of(*folders[:2]).shares
    assert share.kept == folders[1].folder / "x.gguf"
    (folders[0].folder / "x.gguf").chmod(0o604)
    (folders[1].folder / "x.gguf").chmod(0o640)
    plan = plan_of(*folders[:2])
    assert plan.shares == ()
    assert "fewer users" in plan.refused[0].reason


def test_a_folder_that_cannot_be_written(open_folder: Path, plain_user: PlainUser) -> None:
    stores = []
    for name in ("one", "two"):
        folder = open_folder / name
        folder.mkdir()
        (folder / "x.gguf").write_bytes(CONTENT)
        folder.chmod(0o555)
        stores.append(FolderStore(folder, name))
    with plain_user():
        plan = plan_of(*stores)
    assert plan.shares == ()
    assert "not writable" in plan.refused[0].reason


def test_a_store_that_does_not_say(tmp_path: Path) -> None:
    class Unknown:
        name = "unknown"

        def inventory(self) -> Inventory:
            return Inventory((Artifact("gguf", tmp_path / "b" / "x.gguf", store=self.name),))

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.gguf").write_bytes(CONTENT)
    folder = FolderStore(tmp_path / "a", "a")
    artifacts = [*folder.inventory().artifacts, *Unknown().inventory().artifacts]
    plan = plan_dedupe(artifacts, [folder, Unknown()], ContentSums(None))
    assert plan.shares == ()
    assert "'unknown' does not state" in plan.refused[0].reason


def test_files_of_a_folder_model_and_projectors_are_shared(tmp_path: Path, data: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name / "gemma"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(CONTENT)
        (tmp_path / name / "y.gguf").write_bytes(name.encode())
        (tmp_path / name / "mmproj.gguf").write_bytes(OTHER)
    plan = plan_of(FolderStore(tmp_path / "a", "a"), FolderStore(tmp_path / "b", "b"))
    assert sorted(share.path.name for share in plan.shares) == ["mmproj.gguf", "model.safetensors"]


def test_names_of_one_copy_free_it_once(folders: list[FolderStore], data: Path) -> None:
    os.link(folders[0].folder / "x.gguf", folders[0].folder / "again.gguf")
    os.link(folders[1].folder / "x.gguf", folders[1].folder / "again.gguf")
    os.link(folders[1].folder / "x.gguf", folders[1].folder / "third.gguf")
    plan = plan_of(*folders[:2])
    assert len(plan.shares) == 2
    assert plan.freed_bytes == (folders[0].folder / "x.gguf").stat().st_blocks * 512


def test_reflinks_or_a_plain_reason(folders: list[FolderStore], data: Path) -> None:
    plan = plan_of(*folders, reflink=True)
    assert plan.method == "reflink"
    facts = {share.path: share.path.stat().st_mtime_ns for share in plan.shares}
    done = dedupe(plan, data=data)
    assert len(inodes(folders)) == 3
    for folder in folders:
        assert (folder.folder / "x.gguf").read_bytes() == CONTENT
        assert {p.name for p in folder.folder.iterdir()} <= {"x.gguf", "other.gguf"}
    if not done.shared:
        assert all("cannot share it in this way" in kept.reason for kept in done.skipped)
    for path in done.shared:
        assert path.stat().st_mtime_ns == facts[path]


def test_no_record_no_change(folders: list[FolderStore], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(GemmahubError, match="nothing was changed"):
        dedupe(plan_of(*folders), data=blocked)
    assert len(inodes(folders)) == 3


def test_without_reading_what_is_not_known_is_refused(folders: list[FolderStore]) -> None:
    artifacts = [a for folder in folders for a in folder.inventory().artifacts]
    plan = plan_dedupe(artifacts, folders, ContentSums(None), compute=False)
    assert plan.shares == ()
    assert {kept.reason for kept in plan.refused} == {
        "its content was not read; another file has the same size"
    }


def test_undo_refuses_what_is_not_a_record(tmp_path: Path) -> None:
    for text in ("", "{}", '{"version": 2}', "[]"):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(NotFound):
            undo_dedupe(tmp_path / "x.json")


def test_a_record_cannot_lead_elsewhere(folders: list[FolderStore], data: Path) -> None:
    done = dedupe(plan_of(*folders), data=data)
    assert done.record is not None
    record = json.loads(done.record.read_text())
    victim = folders[0].folder.parent / ".gemmahub-victim"
    victim.write_text("mine")
    for entry in record["shares"]:
        entry["temporary"] = "../.gemmahub-victim"
    done.record.write_text(json.dumps(record))
    undo_dedupe(done.record)
    assert victim.read_text() == "mine"


ODD_VALUES: list[Any] = [
    None, True, -1, 1.5, 2**63, 10**400, float("nan"), "", "x", "a\0b", "\ud800", [], {}, [1],
]  # fmt: skip


def test_an_entry_with_an_odd_value_is_skipped(folders: list[FolderStore], data: Path) -> None:
    done = dedupe(plan_of(*folders), data=data)
    assert done.record is not None
    record = json.loads(done.record.read_text())
    good = record["shares"][0]
    paths = {"path": str, "kept": str, "temporary": None}
    for key in good:
        for value in ODD_VALUES:
            fits = isinstance(value, int) and not isinstance(value, bool)
            if (paths.get(key) is str and value in ("x", "\ud800")) or (fits and abs(value) < 2):
                continue
            if key == "inode" and value in (2**63, 10**400):
                continue
            assert valid_entry({**good, key: value}) is None, (key, value)
        assert valid_entry({k: v for k, v in good.items() if k != key}) is None
    assert valid_entry(good) == good


@pytest.mark.parametrize("text", ["[" * 100_000, '{"version":1,"shares":5}', "9" * 5000, "\udcff"])
def test_a_damaged_record_is_passed_over(folders: list[FolderStore], data: Path, text: str) -> None:
    (data / "dedupe").mkdir(parents=True)
    damaged = data / "dedupe" / "00000000T000000-0-1.json"
    damaged.write_bytes(text.encode(errors="surrogateescape"))
    os.mkfifo(data / "dedupe" / "pipe.json")
    assert dedupe(plan_of(*folders), data=data).shared
    with pytest.raises(NotFound):
        undo_dedupe(damaged)
    assert damaged.exists()


def test_undoing_needs_room(
    folders: list[FolderStore], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = dedupe(plan_of(*folders), data=data)
    assert done.record is not None
    full = os.statvfs(data)
    usage = type("Usage", (), {"free": 1000, "total": full.f_blocks, "used": 0})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(DoesNotFit, match=r"1\.00 KB is free"):
        undo_dedupe(done.record)
    assert len(inodes(folders)) == 1


def test_odd_names(tmp_path: Path, data: Path) -> None:
    names = ["ü模型.gguf", "a\nb.gguf", os.fsdecode(b"\xff.gguf"), "-rf.gguf", " .gguf"]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number, name in enumerate(names):
            (tmp_path / folder / name).write_bytes(CONTENT + bytes([number]))
    stores = FolderStore(tmp_path / "a", "a"), FolderStore(tmp_path / "b", "b")
    done = dedupe(plan_of(*stores), data=data)
    assert len(done.shared) == len(names)
    assert done.record is not None
    assert len(undo_dedupe(done.record).copied) == len(names)


# --- kill -9 -----------------------------------------------------------------------------------


def whole(folders: Sequence[FolderStore]) -> None:
    for folder in folders:
        assert (folder.folder / "x.gguf").read_bytes() == CONTENT


def fresh(tmp_path: Path, at: int) -> list[FolderStore]:
    stores = []
    for name in NAMES:
        folder = tmp_path / str(at) / name
        folder.mkdir(parents=True)
        (folder / "x.gguf").write_bytes(CONTENT)
        stores.append(FolderStore(folder, name))
    return stores


def test_kill_9_at_each_step_of_sharing(tmp_path: Path, killed: Killed, data: Path) -> None:
    at = 0
    while True:
        stores, place = fresh(tmp_path, at), data / str(at)
        plan = plan_of(*stores)
        was_killed = killed.run(at, partial(dedupe, plan, data=place))
        whole(stores)
        if not was_killed:
            break
        # Undoing after the kill gives back separate copies ...
        for record in dedupe_records(place):
            undo_dedupe(record)
        whole(stores)
        assert len(inodes(stores)) == 3
        # ... and sharing again works, with nothing left of the attempt.
        dedupe(plan_of(*stores), data=place)
        whole(stores)
        assert len(inodes(stores)) == 1
        assert all([p.name for p in s.folder.iterdir()] == ["x.gguf"] for s in stores)
        at += 1
    assert at >= 7


def test_a_killed_run_is_cleaned_up_by_the_next(tmp_path: Path, killed: Killed, data: Path) -> None:
    stores = fresh(tmp_path, 0)
    plan = plan_of(*stores)
    assert killed.run(2, partial(dedupe, plan, data=data))
    hidden = [p for s in stores for p in s.folder.iterdir() if p.name != "x.gguf"]
    assert len(hidden) == 1
    dedupe(plan_of(*stores), data=data)
    assert all([p.name for p in s.folder.iterdir()] == ["x.gguf"] for s in stores)


def test_kill_9_at_each_step_of_undoing(tmp_path: Path, killed: Killed, data: Path) -> None:
    at = 0
    while True:
        stores, place = fresh(tmp_path, at), data / str(at)
        record = dedupe(plan_of(*stores), data=place).record
        assert record is not None
        was_killed = killed.run(at, partial(undo_dedupe, record))
        whole(stores)
        if record.exists():
            undo_dedupe(record)
        whole(stores)
        assert len(inodes(stores)) == 3
        assert all([p.name for p in s.folder.iterdir()] == ["x.gguf"] for s in stores)
        if not was_killed:
            break
        at += 1
    assert at >= 5
