"""What runs on this machine beside the UI: looked at in a thread, told by the status line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from textual.message import Message

from gemmahub.errors import GemmahubError

if TYPE_CHECKING:
    from textual.app import App

    from gemmahub.service import Library
    from gemmahub.service.serving.known import ServerStatus

LOOK_EVERY: Final = 5.0
"""Seconds between two looks. A look asks servers on this machine and counts files."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What was seen last: servers of this user, those that do not answer, models that engines hold
    in memory, and how many models and conversations are here."""

    servers: tuple[ServerStatus, ...] = ()
    silent: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    models: int = 0
    conversations: int = 0


@dataclass
class BehindSeen(Message):
    """Another look has ended."""

    behind: Behind = field(default_factory=Behind)


class Background:
    """Looks again and again; never more than one look at a time, however long it takes."""

    def __init__(self, app: App[Any], library: Library) -> None:
        self.seen = Behind()
        self._app, self._library = app, library
        self._looking = False
        self._again = False

    def look(self) -> None:
        """Begin a look. Call it in the thread of the UI."""
        if self._looking:
            self._again = True
            return
        self._looking = True
        self._app.run_worker(self._look, thread=True, exit_on_error=False, group="background")

    def take(self, seen: Behind) -> None:
        """A look has ended: what it saw counts."""
        self.seen, self._looking = seen, False
        if self._again:
            self._again = False
            self.look()

    def _look(self) -> None:
        from gemmahub.service.running_now import running_now

        try:
            now = running_now(self._library)
            seen = Behind(now.servers, now.silent, now.loaded, now.models, self._count())
        except Exception as error:  # noqa: BLE001 - a plugin may raise what it likes
            seen = Behind(silent=(GemmahubError.of(error).message,))
        self._app.post_message(BehindSeen(seen))

    def _count(self) -> int:
        try:
            return self._library.conversations.count()
        except GemmahubError:  # the list says why
            return 0
