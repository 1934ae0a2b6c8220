"""gemmahub: run Gemma models on your own machine, precision in plain sight.

::

    import gemmahub

    library = gemmahub.open()
    print(library.inspect("gemma-3-4b-it:q4_0-qat").precision.summary)
    print(library.recommend()[0].command)
    library.pull("gemma-3-4b-it:q4_0-qat")
    with library.load("gemma-3-4b-it:q4_0-qat").session as session:
        for chunk in session.generate("The sky is", Sampling(max_tokens=20)):
            print(chunk.text, end="")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gemmahub.engines.hookspecs import hookimpl
    from gemmahub.service import Library

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl", "open"]


def open(*, folders: Sequence[Path] = (), say: Callable[[str], None] | None = None) -> Library:
    """The models of this machine, with its settings and plugins; see ``docs/guides/library.md``.

    ``folders`` are looked into besides those of the settings. ``say`` hears what a person should
    know, such as what a name was taken for, a line at a time. Nothing is read before it is needed.
    """
    from gemmahub.service import Library

    return Library(folders=folders, say=say)


def __getattr__(name: str) -> Any:
    # pluggy is only needed by plugins: `import gemmahub` stays free of it.
    if name == "hookimpl":
        from gemmahub.engines.hookspecs import hookimpl

        return hookimpl
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
