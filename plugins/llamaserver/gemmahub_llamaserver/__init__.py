"""llama.cpp for gemmahub through its program ``llama-server``: nothing is compiled.

Only hooks live here; the program is looked for when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.engines.contract import Backend, CheckResult, Setting
    from gemmahub.hardware.records import Machine

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_settings() -> Sequence[Setting]:
    """Where the program is."""
    from gemmahub_llamaserver.programs import SETTINGS

    return SETTINGS


@hookimpl
def gemmahub_backends() -> Iterable[Backend]:
    """The backend ``llama-server``."""
    from gemmahub_llamaserver.backend import LlamaServerBackend

    return [LlamaServerBackend()]


@hookimpl
def gemmahub_checks(machine: Machine) -> Iterable[CheckResult]:
    """The program that is used, its devices, and programs that were passed over."""
    from gemmahub_llamaserver.checks import checks

    return checks(machine)
