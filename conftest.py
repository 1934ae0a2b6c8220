"""How the tests run: nothing is compiled twice, and engines do not get into each other's way."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

if sys.dont_write_bytecode:
    # Each process of the tests, and each program that they start, would compile what it imports.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    sys.pycache_prefix = str(cache / "gemmahub-tests" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False

# No server of this machine is looked for but by the tests that start one.
os.environ.setdefault("GEMMAHUB_OPENAI_LOCAL", "[]")

worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if worker and hasattr(os, "sched_setaffinity"):
    # The threads of an engine wait for each other at every layer, busily: with as many as there are
    # processors in each of as many tests, most of the time goes by that way.
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[int(worker.removeprefix("gw")) % len(allowed)]})


def pytest_configure() -> None:
    """The machines that run this are shared: a slow example says nothing about the code."""
    from hypothesis import settings  # here, for its bytecode to be kept

    settings.register_profile("shared", deadline=None)
    settings.load_profile("shared")


def pytest_collection_finish() -> None:
    """What is loaded now stays: looking for garbage in it took a sixth of the UI's tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
