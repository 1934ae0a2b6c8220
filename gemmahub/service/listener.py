"""Who hears what a use case says while it runs, and who may end its waits.

A use case may wait: a hub limits requests, a connection is tried again. What runs beside others has
a listener of its own, so that its words land where it is shown and its waits end when it is left::

    with library.heard_by(row.tell, stop):
        library.pull(plan)
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import Cancelled

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Listener:
    """``say`` hears one line at a time, in the thread of the use case; ``stop`` ends its waits."""

    say: Callable[[str], None]
    stop: threading.Event | None = None


_CURRENT: Final[ContextVar[Listener | None]] = ContextVar("listener", default=None)


def current() -> Listener | None:
    """Who listens in this context; None: nobody in particular."""
    return _CURRENT.get()


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """What is said in this context goes to ``listener`` alone."""
    token = _CURRENT.set(listener)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def wait(seconds: float) -> None:
    """Sleep.

    Raises: Cancelled as soon as the listener's ``stop`` is set.
    """
    listener = _CURRENT.get()
    if listener is None or listener.stop is None:
        time.sleep(seconds)
    elif listener.stop.wait(seconds):
        raise Cancelled("cancelled", "nothing that arrived is lost: pull it again")
