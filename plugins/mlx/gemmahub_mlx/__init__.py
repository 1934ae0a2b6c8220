"""MLX for gemmahub: runs folders of safetensors inside a worker process.

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
    """The backend ``mlx``."""
    from gemmahub_mlx.backend import MlxBackend

    return [MlxBackend()]


@hookimpl
def gemmahub_checks() -> Iterable[CheckResult]:
    """Whether MLX is installed, and what it computes on."""
    from gemmahub_mlx.engine import check

    return [check()]
