"""How the end of a download is told: by a chat that opens, a line, or the row that is in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.text import one_line
from gemmahub.tui import messages
from gemmahub.tui.commands import TALK_KEY
from gemmahub.tui.screens.downloads import DownloadsScreen

if TYPE_CHECKING:
    from textual.app import App

    from gemmahub.tui.downloads import Download


def tell_end(app: App[None], download: Download) -> None:
    """Tell of a download that is done or has failed; that it is paused, a person knows."""
    if download.state == "done":
        app.post_message(messages.LibraryChanged())
        _tell_arrival(app, download)
    elif download.state == "failed" and not _is_watched(app):
        _tell_failure(app, download)


def _tell_arrival(app: App[None], download: Download) -> None:
    """Open the chat where a person waits for it; elsewhere they are in the middle of it."""
    if download.then_chat and _is_watched(app):
        app.post_message(messages.OpenChat(download.reference, download.settings))
        return
    app.notify(
        f"{TALK_KEY.upper()} opens a chat",
        title=f"{one_line(download.reference)} is here",
        markup=False,
        timeout=10,
    )


def _tell_failure(app: App[None], download: Download) -> None:
    assert download.error is not None
    app.notify(
        f"{one_line(download.error.message, 300)}\n{one_line(download.error.hint, 300)}",
        title=f"{one_line(download.reference)} did not arrive",
        severity="error",
        markup=False,
    )


def _is_watched(app: App[None]) -> bool:
    return isinstance(app.screen, DownloadsScreen)
