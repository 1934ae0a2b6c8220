"""The option for machines that are not here."""

from __future__ import annotations

from typing import Final

MACHINE_HELP: Final = 'For another machine: rtx-3090, "2x rtx-3090", "4x h100, 2 nodes", hosts.'
