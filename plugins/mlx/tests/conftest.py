"""Tiny random models for the tests; all tests of this folder need MLX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub_mlx.backend import MlxBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub_mlx.session import MlxSession


@pytest.fixture(scope="session")
def backend() -> MlxBackend:
    """The backend, where MLX works."""
    backend = MlxBackend()
    found = backend.availability()
    if not found.ok:
        pytest.skip(f"MLX does not work here: {found.reason}; {found.hint}")
    return backend


@pytest.fixture(scope="session")
def folder(backend: MlxBackend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 3 of two layers, the first with a window of 64 tokens."""
    from gemmahub.testing.folder_writer import write_model_folder

    return write_model_folder(tmp_path_factory.mktemp("mlx") / "tiny")


@pytest.fixture(scope="session")
def artifact(folder: Path) -> Artifact:
    return Artifact("mlx", folder, (folder / "model.safetensors",), name="tiny")


@pytest.fixture(scope="module")
def shared_session(backend: MlxBackend, artifact: Artifact) -> Iterator[MlxSession]:
    with backend.load(artifact, Settings(context=512, ubatch=64)) as session:
        yield session


@pytest.fixture
def session(shared_session: MlxSession) -> MlxSession:
    """A session with an empty cache."""
    shared_session.cache.clear()
    return shared_session
