"""Servers that another plugin lists itself, and that are then no finds of ours.

A distribution that knows a server better names a function in the entry-point group below; it gives
the addresses that its plugin asks. ::

    [project.entry-points."gemmahub_listed_servers"]
    lmstudio = "gemmahub_lmstudio.place:listed_here"  # () -> Sequence[str]

The entry point has the name of the plugin: one that is disabled, or left out by
``GEMMAHUB_PLUGINS``, lists nothing. A server that the user named in our settings stays ours.
"""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import Final

from gemmahub.config import disabled_plugins
from gemmahub_openai.servers import server_url

GROUP: Final = "gemmahub_listed_servers"
_MOST: Final = 100


def listed_elsewhere() -> tuple[str, ...]:
    """The addresses that other plugins ask themselves. One that fails has none."""
    found: list[str] = []
    for point in entry_points(group=GROUP):
        if not is_used(point.name):
            continue
        try:
            urls = [server_url(str(url)) for url in point.load()()][:_MOST]
        except Exception:  # noqa: BLE001, S112 - another plugin's code, whose row says what is wrong
            continue
        found += [url for url in urls if url]
    return tuple(found)


def is_used(plugin: str) -> bool:
    """Whether an installed plugin is neither disabled nor left out."""
    restriction = os.environ.get("GEMMAHUB_PLUGINS")
    names = None if restriction is None else {name.strip() for name in restriction.split(",")}
    return plugin not in disabled_plugins() and (names is None or plugin in names)
