"""The smallest real gemmahub plugin: a backend that answers with the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from gemmahub.engines.contract import Backend

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_backends() -> list[Backend]:
    """Offer the echo backend."""
    from gemmahub_echo.everything import EveryEchoBackend

    return [EveryEchoBackend()]
