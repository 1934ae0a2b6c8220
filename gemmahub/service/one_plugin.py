"""The use case: one plugin in full: what it offers, its backends' options, its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.errors import NotFound
from gemmahub.service.plugin_rows import rows
from gemmahub.service.settings import setting_rows
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.service.installation import Installation
    from gemmahub.service.plugin_rows import PluginRow
    from gemmahub.service.settings import SettingRow


@dataclass(frozen=True, slots=True)
class PluginDetail:
    """A plugin, the options of its backends by backend, and its settings."""

    row: PluginRow
    options: dict[str, list[SettingRow]]
    settings: list[SettingRow]

    def as_json(self) -> dict[str, Any]:
        """The plugin as ``gemmahub plugins NAME --json`` prints it."""
        options = {name: [row.as_json() for row in found] for name, found in self.options.items()}
        return {
            "plugin": self.row.as_json(),
            "options": options,
            "settings": [row.as_json() for row in self.settings],
        }


def detail(here: Installation, name: str) -> PluginDetail:
    """The plugin with that name, or of that distribution.

    Raises: NotFound; UsageError when the settings file cannot be read.
    """
    found = rows(here)
    row = next((row for row in found if name in (row.name, row.distribution)), None)
    if row is None:
        raise unknown_plugin(name, [row.name for row in found])
    every = setting_rows(here)
    options = {
        backend.name: [one for one in every if one.table == ("backends", backend.name)]
        for backend in row.backends
    }
    own = [one for one in every if one.plugin == row.name]
    return PluginDetail(row, options, own)


def unknown_plugin(name: str, known: Iterable[str]) -> NotFound:
    """The failure for a name that no plugin has, with the nearest names."""
    near = nearest(name, known)
    listed = "see gemmahub plugins; commands: gemmahub plugins --help"
    hint = f"did you mean {', '.join(near)}?" if near else listed
    return NotFound(f"no plugin is called {one_line(name)!r}", hint)
