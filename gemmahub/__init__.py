"""gemmahub: run Gemma models on your own machine, precision in plain sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gemmahub.engines.hookspecs import hookimpl

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl"]


def __getattr__(name: str) -> Any:
    # pluggy is only needed by plugins: `import gemmahub` stays free of it.
    if name == "hookimpl":
        from gemmahub.engines.hookspecs import hookimpl

        return hookimpl
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
