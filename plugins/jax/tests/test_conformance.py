"""The conformance tests of every backend, on a tiny random Gemma 3, and of every store."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from gemmahub.engines.contract import Artifact
from gemmahub.testing.conformance import BackendConformance, StoreConformance
from gemmahub_jax.store import OrbaxStore

if TYPE_CHECKING:
    from pathlib import Path


class TestBackend(BackendConformance):
    plugin: ClassVar[str] = "jax"
    thinks: ClassVar[bool] = False
    calls: ClassVar[bool] = False

    def make_artifact(self, folder: Path) -> Artifact:
        from tiny_checkpoint import random_model, write_checkpoint

        return Artifact("orbax", write_checkpoint(folder / "tiny", random_model()[1]), name="tiny")


class TestStore(StoreConformance):
    plugin: ClassVar[str] = "jax"

    def make_store(self, folder: Path) -> OrbaxStore:
        return OrbaxStore([folder])

    def add_model(self, folder: Path, name: str) -> None:
        from zarr_folders import write_zarr

        write_zarr(folder / name, {name: ("bfloat16", (4, 4))})

    def break_model(self, folder: Path, name: str) -> None:
        (folder / name).rename(folder / f"{name}.orbax-checkpoint-tmp-1")
