"""One process at a time carries out what records say, and a lock never outlives its process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from gemmahub.stores import removal
from gemmahub.stores.dedupe import plan_dedupe
from gemmahub.stores.folder import FolderStore
from gemmahub.stores.identity import ContentSums
from gemmahub.stores.journal import Busy, alone_in
from gemmahub.stores.linking import dedupe, dedupe_records, undo_dedupe
from gemmahub.stores.removal import finish_removals, plan_removal, remove, unfinished_removals

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.stores.dedupe import DedupePlan
    from tests.stores.conftest import Killed

CONTENT = b"GGUF" + bytes(50_000)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    root = tmp_path / "models"
    root.mkdir()
    for name in ("x", "y"):
        (root / f"{name}.gguf").write_bytes(CONTENT)
    return FolderStore(root, "models")


def removal_of(store: FolderStore, name: str) -> removal.RemovalPlan:
    return plan_removal([a for a in store.inventory().artifacts if a.name == name], [store])


def sharing_in(store: FolderStore, data: Path) -> DedupePlan:
    return plan_dedupe(store.inventory().artifacts, [store], ContentSums(data / "sums.json"))


def test_a_removal_at_work_is_not_taken_for_one_that_was_cut_off(
    store: FolderStore, data: Path
) -> None:
    steps: list[str] = []

    def look(step: str) -> None:
        steps.append(step)
        assert unfinished_removals(data) == []
        assert finish_removals(data, [store]).removed == ()

    done = remove(removal_of(store, "x"), [store], data=data, on_step=look)
    assert [path.name for path in done.removed] == ["x.gguf"]
    assert len(steps) > 2


def test_a_second_removal_waits_for_the_first(store: FolderStore, data: Path) -> None:
    plan = removal_of(store, "x")
    second = threading.Thread(target=remove, args=(plan, [store]), kwargs={"data": data})
    with alone_in(data / removal.JOURNALS):
        second.start()
        second.join(0.2)
        assert (store.folder / "x.gguf").exists()
    second.join()
    assert not (store.folder / "x.gguf").exists()


def test_a_removal_beside_one_that_hangs_removes_nothing(
    store: FolderStore, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "_WAIT_SECONDS", 0)
    with alone_in(data / removal.JOURNALS), pytest.raises(Busy, match="another gemmahub"):
        remove(removal_of(store, "x"), [store], data=data)
    assert (store.folder / "x.gguf").exists()
    assert unfinished_removals(data) == []


def test_sharing_at_work_is_left_alone_by_another(store: FolderStore, data: Path) -> None:
    plan = sharing_in(store, data)
    refused = 0

    def try_too(step: str) -> None:
        nonlocal refused
        with pytest.raises(Busy, match="another gemmahub"):
            dedupe(plan, data=data)
        for record in dedupe_records(data):
            with pytest.raises(Busy):
                undo_dedupe(record)
            refused += 1

    done = dedupe(plan, data=data, on_step=try_too)
    assert len(done.shared) == 1
    assert refused > 2
    assert (store.folder / "x.gguf").samefile(store.folder / "y.gguf")
    assert done.record is not None
    assert len(undo_dedupe(done.record).copied) == 1


def test_a_killed_process_leaves_no_lock(store: FolderStore, data: Path, killed: Killed) -> None:
    plan = removal_of(store, "x")
    assert killed.run(1, lambda on_step: remove(plan, [store], data=data, on_step=on_step))
    assert len(unfinished_removals(data)) == 1
    assert [path.name for path in finish_removals(data, [store]).removed] == ["x.gguf"]
