"""Opening the page in this user's browser.

Other users of the machine can read the arguments of a browser that is started (``ps``). So it is
given a file that only this user can read, and that leads to the address with the token.
"""

from __future__ import annotations

import html
import shutil
import tempfile
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE: Final = (
    '<!DOCTYPE html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
    '<meta http-equiv="refresh" content="0;url={url}"><title>gemmahub</title>'
)


class Opening:
    """A file that leads a browser to an address, until it is no longer needed."""

    def __init__(self, url: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="gemmahub-"))  # 0700
        self._page = self._folder / "open.html"
        self._page.touch(0o600)
        self._page.write_text(_PAGE.format(url=html.escape(url)), encoding="utf-8")

    def start(self, say: Callable[[str], None]) -> None:
        """Open it, in a thread: a browser of the terminal stays until it is left."""

        def show() -> None:
            if not webbrowser.open(self._page.as_uri()):
                say("no browser was found: open the address yourself")

        threading.Thread(target=show, daemon=True).start()

    def close(self) -> None:
        """Remove the file; twice is fine."""
        shutil.rmtree(self._folder, ignore_errors=True)
