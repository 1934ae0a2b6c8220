"""PyTorch and Transformers: whether they are here, and their import."""

from __future__ import annotations

import warnings
from importlib import metadata
from typing import Any, Final, NamedTuple

from gemmahub.engines.contract import Availability, CheckResult
from gemmahub.errors import BackendMissing
from gemmahub.python_environment import install_command
from gemmahub.text import one_line

GGUF: Final = "gguf"
NAME: Final = "transformers"
DISTRIBUTION: Final = "transformers"
CHECKED_VERSION: Final = "5.24.0"
"""The version of Transformers that all figures and tests of this plugin were made with."""
_NEEDED: Final = ("torch", DISTRIBUTION, "accelerate", "safetensors", "tokenizers")
_OLDEST: Final = 5  # of Transformers: a cache with windows, ``dtype``, one loader for all packings


class TorchModules(NamedTuple):
    """The modules that are used of PyTorch and Transformers."""

    torch: Any
    transformers: Any
    processors: Any
    logging: Any


def version(distribution: str = DISTRIBUTION) -> str:
    """The version of a distribution; empty when it is not installed. Imports nothing."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def how_to_install(extra: str = "torch") -> str:
    """The command that installs PyTorch and what else an extra of this plugin names."""
    return f"`{install_command(f'gemmahub-transformers[{extra}]')}`"


def availability() -> Availability:
    """Whether PyTorch and Transformers can be used here. Imports nothing of them."""
    missing = [name for name in _NEEDED if not version(name)]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return Availability(
            False, reason=f"{', '.join(missing)} {verb} missing", hint=how_to_install()
        )
    found = version()
    if not found.partition(".")[0].isdigit() or int(found.partition(".")[0]) < _OLDEST:
        return Availability(
            False, reason=f"transformers {found} is older than {_OLDEST}", hint=how_to_install()
        )
    return Availability(True, version=found)


def check() -> CheckResult:
    """The line of ``gemmahub doctor``. A missing engine is no failure: others may be here."""
    from gemmahub_transformers.devices import expected_device

    found = availability()
    if not found.ok:
        return CheckResult(NAME, "warning", found.reason, found.hint)
    said = f"{DISTRIBUTION} {found.version}, torch {version('torch')}, {expected_device()}"
    return CheckResult(NAME, "ok", said)


def engine_name() -> str:
    """As shown to people: ``PyTorch 2.15.0 (transformers 5.24.0)``."""
    return f"PyTorch {version('torch')} ({DISTRIBUTION} {version()})"


def library() -> TorchModules:
    """The engine, ready for use; its own progress bars and advice are kept quiet.

    Raises: BackendMissing when it is not installed or its compiled part cannot be loaded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries that Transformers imports
            return _import()
    except ImportError as error:
        raise BackendMissing(
            f"PyTorch cannot be loaded: {_said(error)}", how_to_install()
        ) from None
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        # ValueError: a CUDA library is not where PyTorch looks; OSError: it cannot be loaded.
        raise BackendMissing(
            f"PyTorch cannot be started here: {_said(error)}",
            f"install it again with its libraries: {how_to_install()}",
        ) from None


def _said(error: Exception) -> str:
    return one_line(str(error), 300)


def _import() -> TorchModules:
    import torch
    import transformers
    from transformers.generation import logits_process
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return TorchModules(torch, transformers, logits_process, logging)
