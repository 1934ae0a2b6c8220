"""The conversation of a chat screen, kept as it goes, with the model while one is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.conversations import Described
from gemmahub.errors import GemmahubError
from gemmahub.tui.commands import chats_command, run_command

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.conversations import ChatSession, Journal, MemoryJournal
    from gemmahub.engines.contract import Settings
    from gemmahub.service import Library, Running

_PLAIN: Final = (
    "This model has no chat template: it completes each prompt as plain text and remembers nothing."
)


class ActiveConversation:
    """A journal, and the session that answers in it; None while no model is loaded."""

    def __init__(
        self, library: Library, journal: Journal | MemoryJournal, *, reopened: bool = False
    ) -> None:
        """``reopened``: it was kept before, and goes on."""
        self.journal = journal
        self.session: ChatSession | None = None
        self.tools_file: Path | None = None  # from which its tools are, where a person named it
        self._library = library
        self._reopened = reopened

    def command(self, reference: str, settings: Settings) -> str:
        """The command that does the same, with a model and its settings."""
        try:
            described = self.journal.saved().described
        except GemmahubError:  # its file is gone
            described = Described(reference)
        if not self._reopened:
            tools = str(self.tools_file) if self.tools_file and described.sampling.tools else ""
            return run_command(reference, settings, described.sampling, described.system, tools)
        context = settings.context
        other = context is not None and context != described.settings.context
        return chats_command(
            "continue", self.journal.id, *(("--ctx-size", str(context)) if other else ())
        )

    def join(self, running: Running) -> str:
        """Model and conversation meet; what a reader should know of that. Raises: GemmahubError."""
        held = self.journal.saved()
        self.session = running.chat(self.journal)
        told = []
        if held.messages and held.described.reference != running.variant.reference:
            told.append(f"So far with {held.described.answerer or held.described.reference}.")
        if self.session.plain:
            told.append(_PLAIN)
        return " ".join(told)

    def detach(self) -> None:
        """The model goes, the conversation stays."""
        if self.session is not None:
            self.session.detach()
            self.session = None

    def leave(self) -> None:
        """Others may open it, once its last answer is kept."""
        session, self.session = self.session, None
        if session is not None:
            session.detach(close_journal=True)
        else:
            self.journal.close()
