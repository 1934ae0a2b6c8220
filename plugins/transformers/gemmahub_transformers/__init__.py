"""Transformers and PyTorch for gemmahub: runs folders of safetensors inside a worker process.

Only hooks live here; the engine is imported when a model is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.engines.contract import Backend, CheckResult

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_backends() -> Iterable[Backend]:
    """The backend ``transformers``."""
    from gemmahub_transformers.backend import TransformersBackend

    return [TransformersBackend()]


@hookimpl
def gemmahub_checks() -> Iterable[CheckResult]:
    """Whether PyTorch and Transformers are installed, and what they compute on."""
    from gemmahub_transformers.engine import check

    return [check()]
