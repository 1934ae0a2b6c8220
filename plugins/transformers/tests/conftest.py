"""Tiny random models for the tests; nearly all tests of this folder need PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub_transformers.backend import TransformersBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub_transformers.session import TransformersSession


@pytest.fixture(scope="session")
def backend() -> TransformersBackend:
    """The backend, where PyTorch works."""
    backend = TransformersBackend()
    found = backend.availability()
    if not found.ok:
        pytest.skip(f"PyTorch does not work here: {found.reason}; {found.hint}")
    return backend


@pytest.fixture(scope="session")
def folder(backend: TransformersBackend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 3 of two layers, the first with a window of 64 tokens."""
    from gemmahub.testing.folder_writer import write_model_folder

    return write_model_folder(tmp_path_factory.mktemp("torch") / "tiny")


@pytest.fixture(scope="session")
def artifact(folder: Path) -> Artifact:
    return Artifact("safetensors", folder, (folder / "model.safetensors",), name="tiny")


@pytest.fixture(scope="module")
def shared_session(
    backend: TransformersBackend, artifact: Artifact
) -> Iterator[TransformersSession]:
    with backend.load(artifact, Settings(context=512, ubatch=64)) as session:
        yield session


@pytest.fixture
def session(shared_session: TransformersSession) -> TransformersSession:
    """A session with an empty cache."""
    shared_session._forward.clear()
    return shared_session
