"""LM Studio for gemmahub: its models, and its server.

Only hooks live here; the client is imported when a server is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from gemmahub.engines.contract import Backend, Setting, Store

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_settings() -> tuple[Setting, ...]:
    """Where the server is, and its key."""
    from gemmahub_lmstudio.place import SETTINGS

    return SETTINGS


@hookimpl
def gemmahub_backends() -> list[Backend]:
    """The backend ``lmstudio``."""
    from gemmahub_lmstudio.backend import LMStudioBackend

    return [LMStudioBackend()]


@hookimpl
def gemmahub_stores() -> list[Store]:
    """Offer LM Studio's models folder."""
    from gemmahub_lmstudio.store import LMStudioStore

    return [LMStudioStore()]
