"""llama.cpp for gemmahub: runs GGUF files inside a worker process.

Only hooks live here; the engine is imported when a model is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.engines.contract import Backend, CheckResult
    from gemmahub.hardware.records import Machine

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_backends() -> Iterable[Backend]:
    """The backend ``llama.cpp``."""
    from gemmahub_llamacpp.backend import LlamaCppBackend

    return [LlamaCppBackend()]


@hookimpl
def gemmahub_checks(machine: Machine) -> Iterable[CheckResult]:
    """Whether llama.cpp is installed, its threads, and GPUs that this build of it cannot use."""
    from gemmahub_llamacpp import engine
    from gemmahub_llamacpp.backend import check
    from gemmahub_llamacpp.build import accelerators, gpu_checks, library_folder

    found = [check()]
    if engine.version():
        found += gpu_checks(machine, accelerators(library_folder()), engine.version())
    return found
