"""The application: themes, screens, the palette, and what leads from one screen to another."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on, work
from textual.app import SystemCommand
from textual.binding import Binding

from gemmahub.errors import GemmahubError
from gemmahub.service import Library
from gemmahub.text import one_line, plural
from gemmahub.tui import messages, themes
from gemmahub.tui.background import LOOK_EVERY, BehindSeen
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import TALK_KEY
from gemmahub.tui.harmless import HarmlessLines
from gemmahub.tui.pages import AppPages
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.screens.setup_offer import offer_setup
from gemmahub.tui.sort_filter import SORTS
from gemmahub.tui.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.filter import LineFilter
    from textual.screen import Screen


WIDTHS: Final = [(0, "-tiny"), (50, "-narrow"), (130, "-wide"), (231, "-vast")]
HEIGHTS: Final = [(0, "-flat"), (14, "-low"), (30, "-high")]
"""The classes that a screen has from so many columns, or lines, on."""


LOOK_SECONDS: Final = 2.0
"""Between looks at whether the terminal is still there."""


def settle_collector() -> None:
    """What is loaded stays: a collector that looked through all of it would stop the keys for
    a tenth of a second. A frame makes thousands of objects, and the next one ends them without a
    collector, so it looks less often, too."""
    gc.freeze()
    gc.set_threshold(10_000, 4)


class GemmahubApp(AppPages):
    """What ``gemmahub`` alone opens."""

    TITLE = "gemmahub"
    CSS_PATH = Path(__file__).with_name("gemmahub.tcss")
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    BINDINGS: ClassVar = named(
        "app",
        Binding("p", "plugins", "Plugins and doctor", show=False),
        Binding("D", "downloads", "Downloads", show=False),
        Binding("E", "serving", "Serve models to other programs", show=False),
        Binding("o", "conversations", "Kept conversations", show=False),
        Binding(TALK_KEY, "talk_to_newest", "Talk to the model that arrived last", show=False),
        Binding("question_mark,f1", "keys", "Keys", key_display="?"),
        Binding("q,ctrl+q", "quit", "Quit", show=False),
        Binding("ctrl+z", "suspend_process", "Back to the shell; fg returns", show=False),
    )

    def __init__(self, library: Library | None = None, files: Path | None = None) -> None:
        """``files`` is the only folder that images come from and exports go to; None for any."""
        super().__init__()
        self._harmless = HarmlessLines()
        self._told_at: dict[str, float] = {}
        self.files = files
        self.library = library or Library(say=self._say)
        self._settled = False
        self.broken_settings: GemmahubError | None = None
        try:
            self.state = State(self.library.config.data)
        except GemmahubError as error:
            self.state, self.broken_settings = State(None), error
        for theme in themes.THEMES:
            self.register_theme(theme)

    def _take_keys(self) -> None:
        """The keys that a person gave to bindings, by their names."""
        if not self.broken_settings and (keys := self.library.config.keys):
            from gemmahub.tui.bindings import known_names, unknown_names

            self.set_keymap(dict(keys))
            if problem := unknown_names(keys, known_names()):
                self.notify(problem, severity="warning", markup=False, timeout=10)

    def _say(self, text: str) -> None:
        """What the service wants heard, from whichever thread."""
        self.post_message(messages.Notice(text))

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Every line of every widget is stripped last."""
        return (*super().get_line_filters(), self._harmless)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of bars for themes that know nothing of them."""
        return dict(themes.BAR_DEFAULTS)

    def on_mount(self) -> None:
        """The kept theme, and the library."""
        kept = self.state.values.theme
        self.theme = kept if kept in self.available_themes else themes.DEFAULT
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme.name))
        self._take_keys()
        self.push_screen(LibraryScreen(self.library, self.state))
        self.set_interval(LOOK_SECONDS, self._leave_a_lost_terminal)
        if self.broken_settings is not None:
            self.notify(self.broken_settings.in_full, severity="error", markup=False)
        if self.state.problem:
            self.notify(self.state.problem, severity="warning", markup=False)

    def notify(self, message: str, **options: Any) -> None:
        """As Textual has it; what is on the screen, or about to be, is not said a second time."""
        now, shown = monotonic(), {each.message for each in self._notifications}
        if message not in shown and now - self._told_at.get(message, now - 9) > 1:
            self._told_at[message] = now  # it is shown only when its message has come
            super().notify(message, **options)

    def _leave_a_lost_terminal(self) -> None:
        """End when the terminal is gone. Without a controlling terminal no signal tells of it, and
        reading from what is left of it would keep a processor busy for ever."""
        stdin = sys.__stdin__
        if not self.is_headless and not self.is_web and stdin is not None and not stdin.isatty():
            self.exit(return_code=1)

    def _keep_theme(self, name: str) -> None:
        self.state.remember(theme=name)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: everything that has a key, and what has none."""
        from gemmahub.tui.screens.keys import is_editing

        for theme in themes.THEMES:
            name = theme.name.removeprefix("gemmahub-")
            yield SystemCommand(
                f"Theme: {name}",
                f"Use the {name} theme, also next time",
                lambda name=theme.name: setattr(self, "theme", name),
            )
        seen = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.description and binding.action not in seen and not is_editing(active):
                seen.add(binding.action)
                yield SystemCommand(
                    binding.description,
                    f"Key: {self.get_key_display(binding)}",
                    lambda action=binding.action, at=active.node: self.call_later(
                        self.run_action, action, at
                    ),
                )
        if isinstance(screen, LibraryScreen):
            for column in SORTS:
                yield SystemCommand(
                    f"Sort by {column}",
                    "The order of the library",
                    lambda column=column: screen.action_sort_by(column),
                )
        yield SystemCommand(
            "End serving" if self.serving.is_on else "Begin to serve",
            "The marked models, else all that are here, to other programs of this machine",
            self.action_switch_serving,
        )
        yield SystemCommand("Other themes", "All themes there are", self.action_change_theme)

    @on(LibraryScreen.Loaded)
    def _settle(self) -> None:
        if self._settled:
            return
        self._settled = True
        self.background.look()
        self.set_interval(LOOK_EVERY, self.background.look)
        if not self.is_headless:  # in a test many applications come and go
            settle_collector()
            self.run_worker(offer_setup(self, self.library))

    @on(BehindSeen)
    def _seen_behind(self, event: BehindSeen) -> None:
        self.background.take(event.behind)

    # --- from one screen to another ------------------------------------------------------------

    @on(messages.Notice)
    def _said(self, event: messages.Notice) -> None:
        self.notify(event.text, markup=False)

    @on(messages.OpenChat)
    def _open_chat(self, event: messages.OpenChat) -> None:
        from gemmahub.tui.screens.chat import ChatScreen
        from gemmahub.tui.screens.downloads import DownloadsScreen

        chat = ChatScreen(self.library, event.reference, event.settings)
        if isinstance(self.screen, DownloadsScreen):  # nobody wants to go back there
            self.switch_screen(chat)
        else:
            self.push_screen(chat)

    @on(messages.OpenDuel)
    def _open_duel(self, event: messages.OpenDuel) -> None:
        from gemmahub.tui.screens.duel import DuelScreen

        self.push_screen(DuelScreen(self.library, event.references))

    @on(messages.Pull)
    def _pull(self, event: messages.Pull) -> None:
        self.get_model(event)

    @work
    async def get_model(self, wanted: messages.Pull) -> None:
        """Show what would come; a yes starts it, and the downloads are shown."""
        from gemmahub.tui.screens.pull import PullScreen
        from gemmahub.tui.screens.search import SearchScreen
        from gemmahub.tui.widgets.welcome import Welcome, best_installed

        screen = next(s for s in self.screen_stack if isinstance(s, LibraryScreen))
        asked = PullScreen(self.library, wanted.reference, best_installed(screen.overview))
        plan = await self.push_screen_wait(asked)
        screen.query_one(Welcome).tell(asked.trouble)
        if plan is None:
            return
        if isinstance(self.screen, SearchScreen):
            await self.pop_screen()
        if plan.remote is None:
            self.post_message(messages.OpenChat(plan.variant.reference, wanted.settings))
            return
        self.downloads.start(plan, then_chat=wanted.then_chat, settings=wanted.settings)
        self.action_downloads()

    @on(messages.LibraryChanged)
    def _library_changed(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, LibraryScreen):
                screen.load(again=True)

    def action_talk_to_newest(self) -> None:
        """A chat with the model that arrived last."""
        newest = self.downloads.newest
        if newest is None:
            self.notify("nothing has arrived since the start")
        else:
            self.post_message(messages.OpenChat(newest.reference, newest.settings))

    async def action_quit(self) -> None:
        """Leave; while something is fetched or served, after a question."""
        going = [download for download in self.downloads.all if download.is_going]
        told = []
        if going:
            told.append(
                f"{plural(len(going), 'download')} in progress. Finished parts are "
                "kept: the same pull continues."
            )
        if self.serving.is_on:
            told.append("Models are served: that ends with gemmahub.")
        if told:
            command = going[0].command if going else ""
            self.ask_to_leave(" ".join((*told, "Leave?")), command)
        else:
            self.exit()

    @work
    async def ask_to_leave(self, question: str, command: str) -> None:
        """Leave after a yes; ``command`` goes on with the first download."""
        from gemmahub.tui.screens.dialogs import ConfirmDialog

        if await self.push_screen_wait(ConfirmDialog(question, "Leave", command)):
            self.exit()

    def exit(self, *arguments: Any, **options: Any) -> None:
        """End, and say afterwards how to go on with what has not arrived."""
        if commands := [download.command for download in self.downloads.unfinished]:
            from rich.text import Text

            lines = [f"to continue: {one_line(c, 1000)}" for c in commands]
            options.setdefault("message", Text("\n".join(lines)))
        super().exit(*arguments, **options)

    def on_unmount(self) -> None:
        """However it ends: no thread goes on waiting for a hub, and no server stays."""
        self.downloads.stop_all()
        if self.serving.is_on:
            self.serving.stop()

    def action_keys(self) -> None:
        """Every key of the screen in front."""
        from gemmahub.tui.screens.keys import KeysScreen

        self.push_screen(KeysScreen(self.screen))


def run(files: Path | None = None) -> object:
    """Open the terminal UI and stay in it until it is left; ``files`` as of GemmahubApp. Returns
    the command that a person chose to run next, else None."""
    return GemmahubApp(files=files).run()
