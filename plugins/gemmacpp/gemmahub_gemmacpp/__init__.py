"""gemma.cpp for gemmahub: its ``.sbs`` files are read, and run with its program ``gemma``.

Only hooks live here; the program is looked for when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.engines.contract import Backend, Setting
    from gemmahub.formats.reader import FormatReader

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_settings() -> Sequence[Setting]:
    """Where the program is."""
    from gemmahub_gemmacpp.programs import SETTINGS

    return SETTINGS


@hookimpl
def gemmahub_formats() -> Iterable[FormatReader]:
    """The format ``sbs``."""
    from gemmahub_gemmacpp.reader import SbsReader

    return [SbsReader()]


@hookimpl
def gemmahub_backends() -> Iterable[Backend]:
    """The backend ``gemma.cpp``."""
    from gemmahub_gemmacpp.backend import GemmaCppBackend

    return [GemmaCppBackend()]
