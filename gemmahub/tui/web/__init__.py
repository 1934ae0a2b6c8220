"""The same UI in a browser.

Whoever holds the token can do what this user can: :mod:`gemmahub.tui.web.access` says who that is,
:mod:`gemmahub.tui.web.sessions` what happens then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import UsageError
from gemmahub.python_environment import install_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.http.place import Place

__all__ = ["serve"]


def serve(place: Place, files: Path, say: Callable[[str], None], *, open_page: bool) -> None:
    """Serve until it is interrupted; ``say`` is told the address. ``files`` is the folder that
    images come from and exports go to.

    Raises: UsageError without textual-serve, or for an address that this machine does not have;
    GemmahubError for one that is taken.
    """
    try:
        from gemmahub.tui.web.server import WebServer
    except ImportError:
        raise UsageError(
            "the browser UI needs textual-serve, which is not installed",
            install_command("gemmahub[web]"),
        ) from None
    WebServer(place, files, say).run(open_page=open_page)
