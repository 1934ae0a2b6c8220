"""JAX and the gemma library: whether they are here, what they compute on, and their import."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from importlib import metadata
from typing import Any, Final, NamedTuple

from gemmahub.engines.contract import Availability, CheckResult
from gemmahub.errors import BackendMissing
from gemmahub.python_environment import install_command
from gemmahub.text import one_line

NAME: Final = "jax"
DISTRIBUTION: Final = "gemma"
CHECKED_VERSION: Final = "4.0.1"
"""The version of the library that all figures and tests of this plugin were made with."""
OLDEST_PYTHON: Final = (3, 12)

CUDA: Final = "CUDA0"
ROCM: Final = "ROCm0"
TPU: Final = "TPU0"
HOST: Final = "CPU"
APIS: Final = {CUDA: "cuda", ROCM: "rocm", TPU: "tpu", HOST: "cpu"}
"""How each device is driven."""
PLATFORMS: Final = {"gpu": CUDA, "cuda": CUDA, "rocm": ROCM, "tpu": TPU, "cpu": HOST}
"""The device of each of JAX's platforms."""

# The distributions that let JAX use an accelerator.
_DEVICES: Final = {
    "jax-cuda13-plugin": CUDA,
    "jax-cuda12-plugin": CUDA,
    "jax-rocm7-plugin": ROCM,
    "libtpu": TPU,
}
_OTHER_PYTHON: Final = (
    "install gemmahub with Python 3.12 or later: "
    "`uv tool install --python 3.12 gemmahub --with 'gemmahub-jax[cpu]'`"
)
_LARGEST_CACHE: Final = 1 << 30  # bytes of compiled programs that are kept


class JaxModules(NamedTuple):
    """The modules that are used of JAX and the library."""

    jax: Any
    numpy: Any
    gm: Any


def version(distribution: str = DISTRIBUTION) -> str:
    """The version of a distribution; empty when it is not installed. Imports nothing."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def device() -> str:
    """What JAX would compute on here, by what is installed; the GPU itself may be missing."""
    return next((name for dist, name in _DEVICES.items() if version(dist)), HOST)


def availability() -> Availability:
    """Whether the library can be used here. Imports nothing of it."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        here = ".".join(map(str, sys.version_info[:2]))
        return Availability(
            False,
            reason=f"the gemma library needs Python 3.12, and this is {here}",
            hint=_OTHER_PYTHON,
        )
    for name in (DISTRIBUTION, "jax", "jaxlib"):
        if not version(name):
            return Availability(False, reason=f"{name} is missing", hint=_how_to_install())
    return Availability(True, version=version())


def check() -> CheckResult:
    """The line of ``gemmahub doctor`` for an engine that is there."""
    return CheckResult(NAME, "ok", f"gemma {version()}, jax {version('jax')}, {device()}")


def engine_name() -> str:
    """As shown to people: ``JAX (gemma 4.0.1)``."""
    return f"JAX ({DISTRIBUTION} {version() or CHECKED_VERSION})"


def _how_to_install() -> str:
    command = install_command("gemmahub-jax[cpu]")
    return f"`{command}`; with an NVIDIA GPU cuda13 in place of cpu, on a TPU tpu"


def library(*, host_only: bool = False) -> JaxModules:
    """The engine, ready for use; ``host_only`` keeps it from looking for accelerators.

    Raises: BackendMissing when it is not installed or cannot be started.
    """
    found = availability()
    if not found.ok:
        raise BackendMissing(found.reason, found.hint)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow comes with it and talks
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries that are imported and not used
            return _started(host_only)
    except Exception as error:  # noqa: BLE001 - protobuf raises an error of its own, XLA RuntimeError
        said = one_line(f"{type(error).__name__}: {error}", 300)
        hint = _how_to_install()
        if "protobuf" in said.lower():
            hint = f"`{install_command('sentencepiece<0.2.2')}`: later ones need another protobuf"
        raise BackendMissing(f"JAX cannot be started here: {said}", hint) from None


def _started(host_only: bool) -> JaxModules:
    import jax

    if host_only:
        jax.config.update("jax_platforms", "cpu")
    _keep_programs(jax)
    import jax.numpy
    import sentencepiece  # noqa: F401 - its types warn when they are made, here where nobody minds
    from gemma import gm

    logging.getLogger("absl").setLevel(logging.ERROR)
    jax.devices()
    return JaxModules(jax, jax.numpy, gm)


def _keep_programs(jax: Any) -> None:
    """Keep what XLA compiled, which takes seconds to a minute for each model and context."""
    from gemmahub.config import load_config

    jax.config.update("jax_compilation_cache_dir", str(load_config().cache / "jax"))
    jax.config.update("jax_compilation_cache_max_size", _LARGEST_CACHE)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
