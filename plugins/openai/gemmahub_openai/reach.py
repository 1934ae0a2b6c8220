"""Whether something listens at an address of this machine: asked before libraries for HTTP load.

They take a tenth of a second, which every list of models would pay for a port where nobody is.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from gemmahub_openai.servers import Server


def is_there(server: Server, seconds: float) -> bool:
    """False where nobody takes a connection on this machine; servers elsewhere count as there."""
    if not server.local:
        return True
    parts = urlsplit(server.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=seconds).close()
    except OSError:
        return False
    return True
