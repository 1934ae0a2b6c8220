"""MLX and mlx-lm: whether they are here, what they compute on, and their import."""

from __future__ import annotations

import sys
import warnings
from importlib import metadata
from typing import Any, Final, NamedTuple

from gemmahub.engines.contract import Availability, CheckResult
from gemmahub.errors import BackendMissing
from gemmahub.python_environment import install_command

NAME: Final = "mlx"
DISTRIBUTION: Final = "mlx-lm"
CHECKED_VERSION: Final = "0.32.2"
"""The version of mlx-lm that all figures and tests of this plugin were made with."""

METAL: Final = "Metal"
CUDA: Final = "CUDA0"
HOST: Final = "CPU"
APIS: Final = {METAL: "metal", CUDA: "cuda", HOST: "cpu"}
"""How each device is driven."""

# The distributions that hold MLX's compiled part, and the device that each computes on.
_DEVICES: Final = {
    "mlx-metal": METAL,
    "mlx-cuda-12": CUDA,
    "mlx-cuda-13": CUDA,
    "mlx-cpu": HOST,
}


class MlxModules(NamedTuple):
    """The modules that are used of MLX and mlx-lm."""

    core: Any
    utils: Any
    cache: Any
    tree_flatten: Any
    tree_map: Any
    quantize: Any


def version(distribution: str = DISTRIBUTION) -> str:
    """The version of a distribution; empty when it is not installed. Imports nothing."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def device() -> str:
    """What MLX computes on here: ``Metal``, ``CUDA0`` or ``CPU``; empty when nothing is there.

    On a machine without MLX nothing is known; a plan for a Mac is made for ``Metal``.
    """
    return next((name for dist, name in _DEVICES.items() if version(dist)), "")


def availability() -> Availability:
    """Whether MLX can be used here. Imports nothing of it."""
    if sys.platform not in ("darwin", "linux"):
        return Availability(
            False,
            reason="MLX runs on macOS and Linux only",
            hint="use a GGUF file of the model: llama.cpp runs it",
        )
    hint = _hint()
    for name in (DISTRIBUTION, "mlx"):
        if not version(name):
            return Availability(False, reason=f"{name} is missing", hint=hint)
    if not device():
        return Availability(False, reason="MLX is installed without its compiled part", hint=hint)
    return Availability(True, version=version())


def check() -> CheckResult:
    """The line of ``gemmahub doctor``. A missing engine is no failure: others may be here."""
    found = availability()
    if not found.ok:
        return CheckResult(NAME, "warning", found.reason, found.hint)
    return CheckResult(
        NAME, "ok", f"{DISTRIBUTION} {found.version}, mlx {version('mlx')}, {device()}"
    )


def engine_name() -> str:
    """As shown to people: ``MLX (mlx-lm 0.32.2)``."""
    return f"MLX ({DISTRIBUTION} {version()})"


def library() -> MlxModules:
    """The engine, ready for use.

    Raises: BackendMissing when it is not installed or its compiled part cannot be loaded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of the libraries that mlx-lm imports and we do not use
            return _import()
    except ImportError as error:
        raise BackendMissing(f"MLX cannot be loaded: {error}", _hint()) from None
    except (OSError, RuntimeError, ValueError) as error:
        # ValueError: mlx-lm sets a limit for open files that a system may refuse.
        raise BackendMissing(f"MLX cannot be started here: {error}", _hint()) from None


def _hint() -> str:
    if sys.platform == "darwin":
        return f"`{install_command('gemmahub-mlx')}`; it needs a Mac with Apple silicon"
    if sys.platform == "linux":
        command = install_command("gemmahub-mlx[cpu]")
        return f"`{command}`; with an NVIDIA GPU cuda13 in place of cpu"
    return "use a GGUF file of the model"


def _import() -> MlxModules:
    import mlx.core
    import mlx.nn
    import mlx_lm.models.cache
    import mlx_lm.utils
    from mlx.utils import tree_flatten, tree_map

    return MlxModules(
        mlx.core,
        mlx_lm.utils,
        mlx_lm.models.cache,
        tree_flatten,
        tree_map,
        mlx.nn.quantize,
    )
