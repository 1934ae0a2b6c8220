"""JAX for gemmahub: reads Orbax checkpoints everywhere, runs them with Google's gemma library.

Only hooks live here; the engine is imported when a model is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.engines.contract import Backend, CheckResult, Store
    from gemmahub.formats.reader import FormatReader

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_backends() -> Iterable[Backend]:
    """The backend ``jax``."""
    from gemmahub_jax.backend import JaxBackend

    return [JaxBackend()]


@hookimpl
def gemmahub_formats() -> Iterable[FormatReader]:
    """Orbax checkpoints."""
    from gemmahub_jax.reader import OrbaxReader

    return [OrbaxReader()]


@hookimpl
def gemmahub_stores() -> Iterable[Store]:
    """Orbax checkpoints in the user's folders."""
    from gemmahub_jax.store import OrbaxStore

    return [OrbaxStore()]


@hookimpl
def gemmahub_checks() -> Iterable[CheckResult]:
    """What JAX computes on, where it is; that it is not, ``doctor`` says of the backend."""
    from gemmahub_jax.engine import availability, check

    return [check()] if availability().ok else []
