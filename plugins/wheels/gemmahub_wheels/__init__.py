"""A store of models that are installed as Python packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from gemmahub.engines.contract import Store

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_stores() -> list[Store]:
    """Offer the store."""
    from gemmahub_wheels.store import WheelStore

    return [WheelStore()]
