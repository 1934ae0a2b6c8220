"""Settings that are tables of tables: entries that the user names, each with the same fields.

::

    SETTINGS = (
        Setting("servers", "servers by name", fields=(
            Setting("url", "the address"),
            Setting("key", "its key", secret=True),
        )),
    )

stands in the settings file as ``[plugins.demo.servers.lab]``, and is read as
``settings_of("demo", SETTINGS)["servers"]["lab"]["url"]``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gemmahub.config.kinds import KINDS
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import Setting

ENTRY: Final = re.compile(r"[a-z][a-z0-9_-]{0,38}")
"""What an entry may be called: it is a key of the settings file, and a part of names."""
TABLES: Final = "a table of tables"


def kind_of(setting: Setting) -> str:
    """What a setting may be, in words."""
    return TABLES if setting.fields else KINDS[setting.type]


def wrong_tables(setting: Setting, value: object, wrong: Callable[[Setting, object], str]) -> str:
    """What a table of tables should be instead; "" where it is right. ``wrong`` says
    it of a field."""
    if not isinstance(value, dict):
        return f"must be {TABLES}, one for each name"
    return next(filter(None, (wrong_entry(setting, *entry, wrong) for entry in value.items())), "")


def wrong_entry(
    setting: Setting, name: str, entry: object, wrong: Callable[[Setting, object], str]
) -> str:
    """What is wrong with one entry; "" where it is right."""
    shown = one_line(name, 60)
    if not ENTRY.fullmatch(name):
        return f"has an entry {shown!r}: use small letters, digits, _ and -"
    if not isinstance(entry, dict):
        return f"has an entry {shown} that is not a table"
    fields = {field.name: field for field in setting.fields}
    for key, value in entry.items():
        if key not in fields:
            offered = ", ".join(fields)
            return (
                f"has an entry {shown} with no setting {one_line(key, 60)!r}: there are {offered}"
            )
        if reason := wrong(fields[key], value):
            return f"has an entry {shown} whose {key} {reason}"
    return ""


def shown_tables(setting: Setting, value: object) -> dict[str, dict[str, Any]]:
    """The entries as they may be printed: a secret is None."""
    secrets = {field.name for field in setting.fields if field.secret}
    entries = value.items() if isinstance(value, dict) else ()
    return {
        name: {key: None if key in secrets else one for key, one in entry.items()}
        for name, entry in entries
        if isinstance(entry, dict)
    }


def fields_fault(setting: Setting) -> str:
    """What is wrong with the fields that a plugin declares; "" where they are right. Each of them
    is looked at by itself, too."""
    if not isinstance(setting.fields, tuple):
        return "has fields that are not a tuple"
    if setting.secret or setting.env or setting.choices or setting.default not in (None, {}):
        return "has fields, and so no secret, variable, choices or default of its own"
    names = [getattr(field, "name", None) for field in setting.fields]
    if len(set(names)) != len(names):
        return "has two fields of one name"
    if any(getattr(field, "fields", ()) or getattr(field, "table", "") for field in setting.fields):
        return "has a field that is a table itself"
    return ""
