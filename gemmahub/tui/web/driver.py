"""The driver of a UI in a browser: Textual's, which believes whatever size it is told and takes
input faster than the UI can follow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from textual import events
from textual.drivers.web_driver import WebDriver

from gemmahub.tui.web.protocol import bounded_size

if TYPE_CHECKING:
    from textual.message import Message

_QUEUED: Final = 500
_PAUSE_SECONDS: Final = 0.01


class BoundedWebDriver(WebDriver):
    """The web driver with limits. Its input thread calls all of this."""

    def process_message(self, message: Message) -> None:
        """Pass on one event. A size can come as keys, too (``ESC [ 48 ; rows ; columns ...``)."""
        if isinstance(message, events.Resize):
            self.on_meta("resize", {"width": message.size.width, "height": message.size.height})
            return
        self._wait_for_the_ui()
        super().process_message(message)

    def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
        """Take what the server says about the terminal."""
        if packet_type == "resize":
            size = bounded_size(payload.get("width"), payload.get("height"))
            if size is None:
                return
            payload = {"width": size[0], "height": size[1]}
        self._wait_for_the_ui()
        super().on_meta(packet_type, payload)

    def _wait_for_the_ui(self) -> None:
        """What it has not taken stays in the pipe, so that the other end stops sending."""
        while self._app.message_queue_size > _QUEUED and not self.exit_event.is_set():
            time.sleep(_PAUSE_SECONDS)
