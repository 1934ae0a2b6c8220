"""The library ``litert-lm-api``: whether it is here, and how it is opened."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from typing import Any, Final

from gemmahub.engines.contract import Availability
from gemmahub.errors import BackendMissing
from gemmahub.python_environment import install_command

NAME: Final = "litert-lm"
DISTRIBUTION: Final = "litert-lm-api"
CHECKED_VERSION: Final = "0.18.1"
_MODULE: Final = "litert_lm"
NO_CACHE: Final = ":nocache"
"""Where packed weights are kept: nowhere. By default the library writes them beside the model."""


def version() -> str:
    """The version that is installed, "" for none."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""


def how_to_install() -> str:
    """The command that installs the library."""
    return f"{install_command('gemmahub-litertlm[engine]')} (one wheel of about 50 MB)"


def availability() -> Availability:
    """Whether it is installed. Imports nothing of it."""
    if not (found := version()) or find_spec(_MODULE) is None:
        return Availability(False, reason=f"{DISTRIBUTION} is not installed", hint=how_to_install())
    return Availability(True, version=found)


def library() -> Any:
    """The module. Raises: BackendMissing where it is missing or cannot be loaded."""
    try:
        import litert_lm
    except ImportError as error:
        raise BackendMissing(
            f"{DISTRIBUTION} cannot be loaded: {error}", how_to_install()
        ) from None
    except OSError as error:  # its library lacks another one
        hint = f"{how_to_install()}; it needs Linux with glibc, macOS on arm64, or Windows"
        raise BackendMissing(f"{DISTRIBUTION} cannot be loaded: {error}", hint) from None
    litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
    return litert_lm
