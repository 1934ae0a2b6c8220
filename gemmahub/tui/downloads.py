"""What is being fetched: it goes on whichever screen is in front."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Literal

from gemmahub.errors import Cancelled, GemmahubError
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

    from gemmahub.engines.contract import Settings
    from gemmahub.service import Library, PullPlan
    from gemmahub.service.progress import Progress

State = Literal["waiting", "running", "pausing", "paused", "failed", "done"]

AT_ONCE: Final = 2
"""Downloads that run at the same time; the others wait for their turn."""


class Download:
    """One model on its way. Its thread writes ``progress`` and ``said``, the rest is the UI's."""

    def __init__(
        self, plan: PullPlan, *, then_chat: bool = False, settings: Settings | None = None
    ) -> None:
        self.plan = plan
        self.then_chat = then_chat
        self.settings = settings
        self.state: State = "waiting"
        self.progress: Progress | None = None
        self.said = ""
        self.error: GemmahubError | None = None
        self.stop = threading.Event()
        self.reference = plan.variant.reference
        self.size = plan.size_bytes
        self.here = max(0, self.size - plan.fetch_bytes)
        """Bytes that were here when it began, or ended early."""

    @property
    def command(self) -> str:
        """The command that does the same, and that goes on with what has arrived."""
        return command_line("pull", self.reference)

    @property
    def is_going(self) -> bool:
        """Whether it is on its way, or will be without another key."""
        return self.state in ("waiting", "running", "pausing")

    def report(self, now: Progress) -> None:
        """Its thread says how far it is."""
        self.progress, self.said = now, ""

    def tell(self, text: str) -> None:
        """Its thread says what holds it up."""
        self.said = text


class Downloads:
    """All downloads since the start, the first at first.

    ``on_end`` is told of each that is done, has failed or was stopped, in the UI's thread.
    """

    def __init__(
        self, library: Library, app: App[None], on_end: Callable[[Download], object]
    ) -> None:
        self.all: list[Download] = []
        self.newest: Download | None = None
        """The one that arrived last."""
        self._library = library
        self._app = app
        self._on_end = on_end

    def start(
        self, plan: PullPlan, *, then_chat: bool = False, settings: Settings | None = None
    ) -> Download:
        """Fetch a model, now or when it is its turn; one that is here already goes on."""
        for known in self.all:
            if known.reference == plan.variant.reference and known.state != "done":
                known.then_chat = known.then_chat or then_chat
                known.settings = settings or known.settings
                self.resume(known)
                return known
        download = Download(plan, then_chat=then_chat, settings=settings)
        self.all.append(download)
        self._begin()
        return download

    def pause(self, download: Download) -> None:
        """Stop for now; what has arrived is kept."""
        if download.state == "waiting":
            download.state = "paused"
        elif download.state == "running":
            download.state = "pausing"
            download.stop.set()

    def resume(self, download: Download) -> None:
        """Go on where it was, also after a failure."""
        if download.state in ("paused", "failed"):
            download.state, download.error = "waiting", None
            self._begin()

    def cancel(self, download: Download) -> None:
        """Take it off the list; what has arrived stays for another try."""
        self.pause(download)
        if download in self.all:
            self.all.remove(download)
            self._begin()

    def stop_all(self) -> None:
        """The application ends: no thread shall keep it from that."""
        for download in self.all:
            download.stop.set()

    @property
    def unfinished(self) -> list[Download]:
        """What has not arrived."""
        return [download for download in self.all if download.state != "done"]

    def _begin(self) -> None:
        for download in self.all:
            going = sum(d.state in ("running", "pausing") for d in self.all)
            if download.state == "waiting" and going < AT_ONCE:
                download.state, download.said = "running", ""
                download.stop.clear()
                self._app.run_worker(
                    lambda download=download: self._fetch(download),
                    thread=True,
                    exit_on_error=False,
                    group="downloads",
                )

    def _fetch(self, download: Download) -> None:
        """In a thread: fetch, and tell the UI how it ended."""
        app, error = self._app, None
        try:
            with self._library.heard_by(download.tell, download.stop):
                download.reference = self._library.pull(
                    download.plan,
                    on_progress=download.report,
                    cancelled=lambda: download.stop.is_set() or not app.is_running,
                ).reference
        except Exception as caught:  # noqa: BLE001 - a plugin may raise what it likes
            error = GemmahubError.of(caught)
            download.here = _here(download)
        if app.is_running:
            app.call_from_thread(self._ended, download, error)

    def _ended(self, download: Download, error: GemmahubError | None) -> None:
        download.said = ""
        if isinstance(error, Cancelled):
            download.state = "paused"
        elif error is not None:
            download.state, download.error = "failed", error
        else:
            download.state = "done"
            self.newest = download
        self._on_end(download)
        self._begin()


def _here(download: Download) -> int:
    """Bytes that are here: what was reported may be a tenth of a second old."""
    from gemmahub.service.pulling import here_bytes

    if (found := here_bytes(download.plan)) is not None:
        return found
    return download.progress.all_done_bytes if download.progress else 0
