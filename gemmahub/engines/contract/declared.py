"""What a plugin declares of its own: options of a backend, and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """An option of one backend, declared once for front ends, configuration and docs."""

    name: str
    help: str
    type: type = str
    default: Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a plugin.

    ``type`` is str, int, float, bool, list[str] or dict[str, str]; ``choices`` are all that is
    allowed, where they are given. ``env`` is a variable that goes before the settings file. A
    ``secret`` (a str) is never shown, and the file may name a variable or an entry of the system's
    keyring in its place. It is in ``[plugins.NAME]`` of the settings file, NAME being the plugin's
    or that of ``table``, which no other plugin uses.

    One with ``fields`` is a table of tables: entries that the user names, each with these settings
    (``[plugins.NAME.SETTING.ENTRY]``), secrets among them. It has no type, default, variable or
    choices of its own, and is read as a mapping of mappings.
    """

    name: str
    help: str
    type: Any = str
    default: Any = None
    choices: tuple[Any, ...] = ()
    secret: bool = False
    env: str = ""
    table: str = ""
    fields: tuple[Setting, ...] = ()
