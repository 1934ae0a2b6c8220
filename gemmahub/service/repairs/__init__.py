"""The use case: what ``gemmahub doctor --fix`` puts right.

Only what loses nothing: a damaged record is renamed, what can be made again is removed, a mode is
narrowed. No model is removed. What interrupted downloads left can be large, and is somebody's
beginning of a model: that is asked for one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError
from gemmahub.service.repairs.repair import Repair, RepairResult
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.service.installation import Installation

__all__ = ["Repair", "RepairResult", "carry_out", "repairs_for"]


def repairs_for(here: Installation) -> list[Repair]:
    """All repairs that can be done now; nothing is changed by asking.

    None where the settings file cannot be read: whoever wrote it has to correct it.
    """
    from gemmahub.service.repairs.downloads import interrupted_downloads
    from gemmahub.service.repairs.files import file_repairs
    from gemmahub.service.repairs.records import record_repairs

    try:
        config = here.config
    except GemmahubError:
        return []
    return [*file_repairs(here), *record_repairs(config), *interrupted_downloads(here)]


def carry_out(repair: Repair) -> RepairResult:
    """Do it. What fails is told, and ends nothing else."""
    try:
        repair.do()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return RepairResult(repair, one_line(f"{where}{error.strerror or error}"))
    except GemmahubError as error:
        return RepairResult(repair, one_line(error.in_full))
    return RepairResult(repair)
