"""What the parts of the terminal UI say to the application. A widget's own messages are in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from gemmahub.engines.contract import Settings
    from gemmahub.errors import GemmahubError


@dataclass
class OpenChat(Message):
    """Talk to a model: opens a chat with that reference, loaded with ``settings`` where given."""

    reference: str
    settings: Settings | None = None


@dataclass
class OpenDuel(Message):
    """One prompt to these variants, answers side by side."""

    references: tuple[str, ...]


@dataclass
class Pull(Message):
    """Get a model that is not on this machine; ``then_chat`` talks to it when it is here, loaded
    with ``settings`` where given."""

    reference: str
    then_chat: bool = False
    settings: Settings | None = None


@dataclass
class LibraryChanged(Message):
    """A model came, went, or ran: what shows models should look again."""

    def can_replace(self, message: Message) -> bool:
        """One look is enough for several changes."""
        return isinstance(message, LibraryChanged)


@dataclass
class Notice(Message):
    """What the service wants a person to hear, such as what a name was taken for."""

    text: str


@dataclass
class Failure(Message):
    """What was begun behind the screens did not work."""

    error: GemmahubError
