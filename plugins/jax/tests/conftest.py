"""Tiny random checkpoints for the tests that need the gemma library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub_jax.backend import JaxBackend

sys.path.insert(0, str(Path(__file__).parent))  # the writers beside this file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub_jax.session import JaxSession


@pytest.fixture(scope="session")
def backend() -> JaxBackend:
    """The backend, where the library works."""
    backend = JaxBackend()
    found = backend.availability()
    if not found.ok:
        pytest.skip(f"JAX does not work here: {found.reason}; {found.hint}")
    return backend


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What XLA compiles is kept for these tests, and not beside the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEMMAHUB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def folder(backend: JaxBackend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 3 of two layers, the first with a window of 64 tokens."""
    from tiny_checkpoint import random_model, write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("jax") / "tiny", random_model()[1])


@pytest.fixture(scope="session")
def artifact(folder: Path) -> Artifact:
    return Artifact("orbax", folder, name="tiny")


@pytest.fixture(scope="module")
def session(backend: JaxBackend, artifact: Artifact) -> Iterator[JaxSession]:
    with backend.load(artifact, Settings(context=256)) as session:
        yield session
