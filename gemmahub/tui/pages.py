"""The screens that every other one leads to: downloads, serving, plugins, search, chats."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from textual import on, work
from textual.app import App

from gemmahub.errors import GemmahubError
from gemmahub.tui import messages
from gemmahub.tui.background import Background
from gemmahub.tui.screens.library import LibraryScreen

if TYPE_CHECKING:
    from textual.screen import Screen

    from gemmahub.service import Library
    from gemmahub.tui.downloads import Downloads
    from gemmahub.tui.server_control import ServerControl


class AppPages(App[None]):
    """What goes on behind the screens, and the ways to those that show it."""

    library: Library

    @cached_property
    def downloads(self) -> Downloads:
        """What is being fetched; it goes on whichever screen is in front."""
        from gemmahub.tui.downloads import Downloads
        from gemmahub.tui.notices import tell_end

        return Downloads(self.library, self, lambda download: tell_end(self, download))

    @cached_property
    def serving(self) -> ServerControl:
        """The server of this application; it ends with it."""
        from gemmahub.tui.server_control import ServerControl

        return ServerControl(self.library)

    @cached_property
    def background(self) -> Background:
        """What the status line tells of that has to be asked for."""
        return Background(self, self.library)

    def _open(self, kind: type[Screen[Any]], *arguments: Any, **options: Any) -> None:
        """Show a page, unless it is in front: a key pressed twice is one wish. A page takes the
        place of another one, so that one step leads back from it."""
        if isinstance(self.screen, kind):
            return
        page = kind(*arguments, **options)
        if isinstance(page, self._pages()) and isinstance(self.screen, self._pages()):
            self.switch_screen(page)
        else:
            self.push_screen(page)

    @staticmethod
    def _pages() -> tuple[type[Screen[Any]], ...]:
        from gemmahub.tui.screens.downloads import DownloadsScreen
        from gemmahub.tui.screens.plugins import PluginsScreen
        from gemmahub.tui.screens.serving import ServingScreen

        return (DownloadsScreen, PluginsScreen, ServingScreen)

    def action_plugins(self) -> None:
        """Plugins, and what does not work."""
        from gemmahub.tui.screens.plugins import PluginsScreen

        self._open(PluginsScreen, self.library)

    def action_downloads(self) -> None:
        """Downloads, running and done."""
        from gemmahub.tui.screens.downloads import DownloadsScreen

        self._open(DownloadsScreen, self.library)

    def action_search(self) -> None:
        """Models on the hub, by words or by name."""
        from gemmahub.tui.screens.search import SearchScreen

        self._open(SearchScreen, self.library)

    # --- conversations -------------------------------------------------------------------------

    def action_conversations(self) -> None:
        """The kept conversations of all models; one that is chosen is read at once."""
        from gemmahub.tui.screens.conversation_list import ConversationList

        if not isinstance(self.screen, ConversationList):
            listed = ConversationList(self.library)
            if isinstance(self.screen, self._pages()):
                self.pop_screen()
            self.push_screen(listed, self._read_conversation)

    def _read_conversation(self, id_: str | None) -> None:
        from gemmahub.tui.screens.chat import ChatScreen

        if id_ is None:
            return
        try:
            held = self.library.conversations.load(id_).described
        except GemmahubError as error:
            self.notify(error.in_full, severity="error", markup=False, timeout=10)
            return
        self.push_screen(
            ChatScreen(
                self.library, held.reference, held.settings, conversation=id_, read_first=True
            )
        )

    # --- serving -------------------------------------------------------------------------------

    def action_serving(self) -> None:
        """What is served, and who asks: the marked models, else the one under the cursor."""
        from gemmahub.tui.screens.serving import ServingScreen

        library = self._library_screen
        chosen, any_here = library.chosen_installed(), library.any_installed
        self._open(ServingScreen, self.library, self.serving, chosen, any_here=any_here)

    @property
    def _library_screen(self) -> LibraryScreen:
        return next(s for s in self.screen_stack if isinstance(s, LibraryScreen))

    def action_switch_serving(self) -> None:
        """Begin to serve, or end it, from every screen: the marked models, else all that are
        here."""
        if self.serving.is_on:
            self.notify("ending the server", timeout=2)
            self._end_serving()
            return
        elsewhere = [server.address for server in self.background.seen.servers]
        if elsewhere:
            self.notify(
                f"{elsewhere[0]} was started in another terminal: Ctrl+C ends it there",
                markup=False,
            )
            return
        self._begin_serving(self._library_screen.marked_installed())

    @work(thread=True, exit_on_error=False, group="serving")
    def _begin_serving(self, references: tuple[str, ...]) -> None:
        """Start, wait until it is there, and say so; or why it is not."""
        what = ", ".join(references) or "all models that are here"
        self.post_message(messages.Notice(f"beginning to serve {what}; e shows who asks"))
        self.serving.start(references)
        self.serving.wait()
        if self.serving.error is not None:
            self.post_message(messages.Failure(self.serving.error))
        self.call_from_thread(self.background.look)

    @work(thread=True, exit_on_error=False, group="serving")
    def _end_serving(self) -> None:
        self.serving.stop()
        self.call_from_thread(self.background.look)

    @on(messages.Failure)
    def _failure(self, event: messages.Failure) -> None:
        self.notify(event.error.in_full, severity="error", markup=False, timeout=10)
