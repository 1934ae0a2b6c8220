"""LiteRT-LM for gemmahub: its bundles are read, and run on this machine by its library.

Only hooks live here; the library is loaded in a worker process when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.engines.contract import Backend
    from gemmahub.formats.reader import FormatReader

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_formats() -> Iterable[FormatReader]:
    """The formats ``litertlm`` and ``task``."""
    from gemmahub_litertlm.reader import LitertlmReader, TaskReader

    return [LitertlmReader(), TaskReader()]


@hookimpl
def gemmahub_backends() -> Iterable[Backend]:
    """The backend ``litert-lm``."""
    from gemmahub_litertlm.backend import LitertLmBackend

    return [LitertLmBackend()]
