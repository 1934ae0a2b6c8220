"""Downloads: how far they are, file by file and in all, and keys to pause, go on, try again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from gemmahub.text import duration, format_bytes, one_line, percent, plural
from gemmahub.tui import messages
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import copy_command
from gemmahub.tui.widgets.chat_lines import bar_text
from gemmahub.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from gemmahub.service import Library
    from gemmahub.service.progress import Progress
    from gemmahub.tui.downloads import Download, Downloads

_REFRESH_SECONDS = 0.25
_STATES = {
    "waiting": "waiting",
    "running": "begins",
    "pausing": "pausing",
    "paused": "paused; the part that arrived is kept: space continues",
    "failed": "failed",
    "done": "downloaded: enter opens a chat",
}
_MOST_FILES = 5


_NOTHING = (
    "No downloads. Models that you download are shown here with their progress: pause, continue or "
    "retry them.\n\na searches the hub; esc leads to the library, where Enter on a model downloads "
    "it."
)


class DownloadRow(Vertical, can_focus=True):
    """One download: its name and precision, a bar with words, the file, what went wrong."""

    DEFAULT_CSS = """
    DownloadRow {
        height: auto;
        padding: 0 1;
        margin: 0 0 1 0;
        border-left: blank;
        &:focus { border-left: outer $accent; background: $boost; }
        .name { text-style: bold; }
        .files { color: $text-muted; height: auto; }
        .told { color: $text-muted; }
        &.-failed .told { color: $text-error; }
        &.-done .bar { color: $text-success; }
        Static { text-wrap: nowrap; text-overflow: ellipsis; }
        .told { text-wrap: wrap; }
    }
    """

    def __init__(self, download: Download) -> None:
        super().__init__()
        self.download = download

    def compose(self) -> ComposeResult:
        variant = self.download.plan.variant
        name = f"{self.download.reference} · {variant.precision.summary}"
        yield Static(Content(one_line(name)), classes="name")
        yield Static(classes="bar")
        yield Static(classes="told")
        yield Static(classes="files")

    def on_mount(self) -> None:
        """How far it is now."""
        self.show()

    def show(self) -> None:
        """Draw how far it is."""
        download = self.download
        self.set_class(download.state == "failed", "-failed")
        self.set_class(download.state == "done", "-done")
        width = max(self.content_size.width, 10)
        self.query_one(".bar", Static).update(Content(bar_line(download, width)))
        self.query_one(".told", Static).update(Content(told_line(download)))
        lines = file_lines(download, width)
        self.query_one(".files", Static).update(Content("\n".join(lines)))
        self.query_one(".files").display = bool(lines)


class DownloadsScreen(Screen[None]):
    """All downloads of this run; they go on when the screen is left."""

    CSS = """
    DownloadsScreen {
        #title { height: 1; padding: 0 1; background: $panel; text-style: bold; }
        #rows { padding: 1 1 0 1; }
        #none { color: $text-muted; padding: 1 2; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = named(
        "downloads",
        Binding("escape", "leave", "Back"),
        Binding("space", "pause", "Pause/continue"),
        Binding("f5", "retry", "Retry"),
        Binding("X,delete,f8", "cancel", "Cancel"),
        Binding("enter", "chat", "Chat"),
        Binding("y,f9", "copy", "Copy the command", key_display="y"),
        Binding("a", "app.search", "Search the hub, or get by name", show=False),
        Binding("up,k", "app.focus_previous", "Up", show=False),
        Binding("down,j", "app.focus_next", "Down", show=False),
    )

    def __init__(self, library: Library, downloads: Downloads | None = None) -> None:
        """``downloads`` None: those of the application."""
        super().__init__()
        self.library = library
        self._downloads = downloads

    @property
    def downloads(self) -> Downloads:
        """What is being fetched."""
        found: Downloads = self._downloads or self.app.downloads  # type: ignore[attr-defined]
        return found

    def compose(self) -> ComposeResult:
        yield Static("Downloads", id="title")
        yield VerticalScroll(id="rows", can_focus=False)
        yield Static(_NOTHING, id="none", markup=False)
        yield Static("", id="command", markup=False)
        yield StatusLine()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Look again and again: threads write how far they are."""
        self.set_interval(_REFRESH_SECONDS, self.look)
        self.look()

    def look(self) -> None:
        """Draw how far all are; rows come and go."""
        known = {row.download: row for row in self.query(DownloadRow)}
        for download, row in known.items():
            if download in self.downloads.all:
                row.show()
            else:
                row.remove()
        new = [DownloadRow(d) for d in self.downloads.all if d not in known]
        if new:
            self.query_one("#rows").mount_all(new)
            self.call_after_refresh(new[-1].focus)
        self.query_one("#none").display = not self.downloads.all
        self._show_command()

    @on(events.DescendantFocus)
    def _show_command(self) -> None:
        command = self.command
        self.query_one("#command", Static).update(f"$ {command}" if command else "")

    @property
    def command(self) -> str:
        """What does the same as the download under the cursor."""
        download = self.focused_download
        return one_line(download.command, 1000) if download else ""

    def on_resize(self, event: events.Resize) -> None:
        """Bars are as wide as there is room."""
        self.call_after_refresh(self.look)

    @property
    def focused_download(self) -> Download | None:
        """The one that keys are for: the focused one, or the only one."""
        if isinstance(self.focused, DownloadRow):
            return self.focused.download
        return self.downloads.all[0] if len(self.downloads.all) == 1 else None

    def action_leave(self) -> None:
        """Back; nothing stops."""
        if any(download.is_going for download in self.downloads.all):
            self.app.notify("The download continues: D shows it.", timeout=3)
        self.dismiss(None)

    def action_pause(self) -> None:
        """Stop for now, or go on."""
        download = self.focused_download
        if download is None:
            return
        if download.state in ("running", "waiting"):
            self.downloads.pause(download)
        else:
            self.downloads.resume(download)
        self.look()

    def action_retry(self) -> None:
        """Try again after a failure, go on after a pause."""
        if (download := self.focused_download) is not None:
            self.downloads.resume(download)
            self.look()

    def action_cancel(self) -> None:
        """Take it off the list."""
        if (download := self.focused_download) is not None:
            self.downloads.cancel(download)
            if download.state != "done":
                text = f"cancelled; the part that arrived is kept: {download.command} continues"
                self.notify(text, markup=False)
            self.look()

    def action_chat(self) -> None:
        """Talk to a model that is here, or to one once it is."""
        download = self.focused_download
        if download is None:
            return
        if download.state == "done":
            self.post_message(messages.OpenChat(download.reference, download.settings))
        else:
            download.then_chat = True
            self.downloads.resume(download)
            self.notify("the chat opens as soon as the model is downloaded")

    def action_copy(self) -> None:
        """The command to the clipboard."""
        if (download := self.focused_download) is not None:
            copy_command(self, download.command)


def bar_line(download: Download, width: int) -> str:
    """All files together: a bar, and in words what is here, how fast, how long still."""
    now, size = download.progress, download.size
    if download.state == "done":
        done = size
    elif now is not None and download.state in ("running", "pausing"):
        done, size = now.all_done_bytes, now.all_bytes
    else:
        done = download.here
    words = [f"{format_bytes(done)} of {format_bytes(size)}"]
    if now is not None and download.state == "running":
        words += _pace(now.bytes_per_second, now.all_seconds_left)
    return _with_bar(done / size if size else 0.0, words, width)


def _pace(rate: float | None, left: float | None) -> list[str]:
    """How fast it is, in bytes a second, and the seconds that are left, in words."""
    words = [f"{format_bytes(int(rate))}/s"] if rate else []
    return words if left is None else [*words, f"{duration(left)} left"]


def _with_bar(share: float, words: list[str], width: int, most: int = 40) -> str:
    text = " · ".join([percent(share), *words])
    cells = min(most, width - len(text) - 3)
    return f"{bar_text(share, cells)} {text}" if cells >= 5 else text


def told_line(download: Download) -> str:
    """What is being done, and with which file; what went wrong and what to do."""
    error = download.error
    if error is not None:
        told = f"failed: {one_line(error.message, 300)}"
        hint = f"; {one_line(error.hint, 300)}" if error.hint else ""
        return f"{told}{hint}. F5 tries again."
    now = download.progress
    if download.state == "running" and download.said:
        return one_line(download.said, 300)
    if now is None or download.state != "running":
        return _STATES[download.state]
    return file_line(now)


def file_line(now: Progress) -> str:
    """The file that is on its way."""
    which = f"file {min(now.files_done + 1, now.files)} of {now.files}: {one_line(now.file, 80)}"
    return f"{which} · {_PHASES[now.phase]}"


_PHASES = {
    "waiting": "another process downloads it",
    "fetching": "fetching",
    "verifying": "checking its sha256",
    "ready": "is here",
}


def file_lines(download: Download, width: int) -> list[str]:
    """Each file of several: what is here, what is on its way and how far, what is still to come.
    Of many those around the one that is on its way."""
    now, names = download.progress, [file.name for file in download.plan.files]
    if len(names) < 2 or download.state == "done":
        return []
    at = names.index(now.file) if now is not None and now.file in names else 0
    first = max(0, min(at - _MOST_FILES // 2, len(names) - _MOST_FILES))
    lines = []
    for number, file in list(enumerate(download.plan.files))[first : first + _MOST_FILES]:
        shown, sized, size = one_line(file.name, 60), format_bytes(file.size), file.size
        if now is None or number > at:
            lines.append(f"· {shown} · {sized}")
        elif number < at or now.phase == "ready":
            lines.append(f"✓ {shown} · {sized}")
        else:
            words = [f"{format_bytes(now.done_bytes)} of {sized}"]
            if download.state == "running":
                words += _pace(now.bytes_per_second, now.seconds_left)
            share = now.done_bytes / size if size else 0.0
            lines.append(f"↓ {shown} {_with_bar(share, words, width - len(shown) - 3, 16)}")
    hidden = len(names) - len(lines)
    return [*lines, f"  and {plural(hidden, 'other')}"] if hidden else lines
