"""llama.cpp for gemmahub: runs GGUF files inside a worker process.

Only hooks live here; the engine is imported when a model is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.engines.contract import Backend, CheckResult


@hookimpl
def gemmahub_backends() -> Iterable[Backend]:
    """The backend ``llama.cpp``."""
    from gemmahub_llamacpp.backend import LlamaCppBackend

    return [LlamaCppBackend()]


@hookimpl
def gemmahub_checks() -> Iterable[CheckResult]:
    """Whether llama.cpp is installed, and how many threads it would use."""
    from gemmahub_llamacpp.backend import check

    return [check()]
