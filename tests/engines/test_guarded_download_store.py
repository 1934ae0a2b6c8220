"""What a plugin's store says of downloads that were broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemmahub.engines.contract import (
    DownloadStore,
    Inventory,
    ManagedStore,
    Removal,
    RemovalStep,
    Unfinished,
)
from gemmahub.engines.guarded_store import guarded_store
from gemmahub.errors import GemmahubError
from gemmahub.stores.removal import plan_unfinished


class Downloads:
    """A store with these answers to ``unfinished``."""

    name = "downloads"
    tool = ""
    root = Path("/nowhere")

    def __init__(self, left: Any) -> None:
        self.left = left

    def inventory(self) -> Inventory:
        return Inventory()

    def removal(self, artifacts: Any) -> Removal:
        return Removal()

    def discard(self, path: Path) -> str:
        return ""

    def unfinished(self) -> Any:
        if isinstance(self.left, Exception):
            raise self.left
        return self.left


def test_it_is_called_through_its_guard(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"x")
    removal = Removal((RemovalStep(path, "data"),))
    store = guarded_store(Downloads([Unfinished("demo://x\x1b[2J", 1, removal)]))
    assert isinstance(store, DownloadStore)
    assert isinstance(store, ManagedStore)
    (left,) = store.unfinished()
    assert (left.reference, left.bytes) == ("demo://x", 1)
    plan = plan_unfinished("DEMO://x", [store])
    assert plan is not None
    assert plan.stores[0].removal == removal


@pytest.mark.parametrize(
    "left",
    [RuntimeError("broken"), [5], [Unfinished("x", "many", Removal())], None],  # type: ignore[arg-type]
)
def test_its_defects_name_it(left: Any) -> None:
    store = guarded_store(Downloads(left))
    assert isinstance(store, DownloadStore)
    with pytest.raises(GemmahubError, match="the store downloads failed"):
        store.unfinished()


def test_a_store_without_downloads_has_none() -> None:
    class Plain(Downloads):
        unfinished: Any = property()

    assert not isinstance(guarded_store(Plain(())), DownloadStore)
