"""What goes on behind every screen, in one line; no line where nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.content import Content
from textual.widgets import Static

from gemmahub.text import duration, one_line, percent
from gemmahub.tui.sort_filter import short_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import App

    from gemmahub.tui.downloads import Download, Downloads
    from gemmahub.tui.server_control import ServerControl

LOOK_SECONDS = 1.0


class StatusLine(Static):
    """Downloads on their way, and what is served by this application."""

    DEFAULT_CSS = """
    StatusLine {
        height: 1;
        padding: 0 1;
        display: none;
        color: $text-accent;
        background: $panel;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def on_mount(self) -> None:
        """From now on, once a second."""
        self._shown = ""
        self.set_interval(LOOK_SECONDS, self.look)
        self.look()

    def look(self) -> None:
        """Say what goes on now."""
        text = " · ".join(going_on(self.app))
        if text != self._shown:
            self._shown = text
            self.update(Content(one_line(text, 1000)))
            self.display = bool(text)


def going_on(app: App[Any]) -> list[str]:
    """What goes on behind the screens of an application, in words."""
    begun = vars(app)  # nothing is made only to be looked at
    downloads: Downloads | None = begun.get("downloads")
    serving: ServerControl | None = begun.get("serving")
    found = downloads_in_words(downloads.all) if downloads is not None else []
    return found if serving is None else [*found, *server_in_words(serving)]


def fetched(app: App[Any]) -> dict[str, int]:
    """How many per cent of each model on its way are here, by reference."""
    downloads: Downloads | None = vars(app).get("downloads")
    going = [each for each in downloads.all if each.is_going] if downloads is not None else []
    return {each.plan.variant.reference: int(100 * share_of(each)) for each in going}


def downloads_in_words(downloads: Sequence[Download]) -> list[str]:
    """Each download that runs, how far and how long still; how many wait, and how many failed."""
    found = [_running(each) for each in downloads if each.state in ("running", "pausing")]
    for state, word in (("waiting", "wait"), ("paused", "paused"), ("failed", "failed")):
        if count := sum(each.state == state for each in downloads):
            found.append(f"{count} {word}{'s' if word == 'wait' and count == 1 else ''}")
    return found


def share_of(download: Download) -> float:
    """How much of a download is here, 0 to 1."""
    now = download.progress
    done, size = (
        (download.here, download.size) if now is None else (now.all_done_bytes, now.all_bytes)
    )
    return done / size if size else 0.0


def server_in_words(serving: ServerControl) -> list[str]:
    """What is served, and where; nothing where nothing is."""
    if serving.is_starting:
        return ["the server starts"]
    server = serving.server
    return [f"serving at port {serving.port}"] if server is not None and server.running else []


def _running(download: Download) -> str:
    left = download.progress.all_seconds_left if download.progress else None
    more = "" if left is None else f" {duration(left)}"
    return f"↓ {short_reference(download.reference)} {percent(share_of(download))}{more}"
