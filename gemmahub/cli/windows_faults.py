"""Failures that Windows reports in other words than other systems."""

from __future__ import annotations

import errno
import sys
from typing import Final

from gemmahub.errors import GemmahubError

_NO_DATA: Final = 232  # ERROR_NO_DATA: the pipe is being closed
_LONGEST_PATH: Final = 260  # MAX_PATH, with the final NUL, where long paths are not enabled


def is_closed_pipe(failure: OSError) -> bool:
    """Whether what is written goes to a pipe that nobody reads any more.

    It is EINVAL on Windows and no BrokenPipeError, as CPython's own
    ``subprocess.Popen._stdin_write`` says (bpo-19612, bpo-30418).
    """
    if sys.platform != "win32":
        return False
    return failure.errno == errno.EINVAL or getattr(failure, "winerror", 0) == _NO_DATA


def too_long_path(failure: OSError) -> GemmahubError | None:
    """What to say of a path that is too long for Windows, which says that it does not exist."""
    path = str(failure.filename or "")
    if sys.platform != "win32" or len(path) < _LONGEST_PATH:
        return None
    return GemmahubError(
        f"{path}: the path has {len(path)} characters, and Windows takes {_LONGEST_PATH - 1}",
        "let it take long ones (LongPathsEnabled in the registry), or keep models in a folder with "
        "a short path (HF_HOME)",
    )
