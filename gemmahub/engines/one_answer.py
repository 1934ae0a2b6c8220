"""For backends that give one answer at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import LoadFailed

if TYPE_CHECKING:
    from gemmahub.engines.contract import Settings


def check_one_answer(settings: Settings) -> None:
    """Raises: LoadFailed where several answers at once are wanted."""
    if settings.parallel != 1:
        raise LoadFailed(
            f"this backend gives one answer at a time, not {settings.parallel}", "use parallel 1"
        )
