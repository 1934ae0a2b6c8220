"""The plugins that are installed, by their entry points, and those of them that are loaded."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final

from gemmahub.engines.hooks import FoundPlugin, Hooks, PluginRecord
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

GROUP: Final = "gemmahub"
RESTRICT: Final = "GEMMAHUB_PLUGINS"


def to_be_loaded(
    hooks: Hooks, only: Iterable[str] | None, disabled: Collection[str]
) -> list[FoundPlugin]:
    """The installed plugins that are not ``disabled``, restricted to ``only`` or to those named in
    ``GEMMAHUB_PLUGINS``; why others are not becomes their record.

    The variable holds entry-point names with commas; set but empty, it loads none. Of two plugins
    with one name neither is loaded: nobody can tell which is meant.
    """
    wanted = _wanted(only)
    points: dict[str, dict[str, FoundPlugin]] = {}
    for point in entry_points(group=GROUP):
        found = _found(point)
        points.setdefault(point.name, {}).setdefault(found.distribution, found)
    loaded = []
    for name in sorted(points):
        same = [points[name][distribution] for distribution in sorted(points[name])]
        if len(same) > 1 and (wanted is None or name in wanted):
            _refuse(hooks, same)
        elif wanted is not None and name not in wanted:
            _leave(hooks, same[0], "left out", f"not named in {RESTRICT}")
        elif name in disabled:
            hint = f"gemmahub plugins enable {one_line(name)}"
            _leave(hooks, same[0], "disabled", "disabled in the settings", hint)
        else:
            loaded.append(same[0])
    return loaded


def _refuse(hooks: Hooks, same: list[FoundPlugin]) -> None:
    of = " and ".join(plugin.distribution for plugin in same)
    for plugin in same:
        name = f"{plugin.name} ({plugin.distribution})"
        reason = f"two plugins are called {plugin.name!r} (from {of}): neither is used"
        hint = f"pip uninstall {plugin.distribution}, or the other"
        hooks.record(
            PluginRecord(name, plugin.distribution, plugin.version, "failed", (), reason, hint)
        )


def _leave(hooks: Hooks, plugin: FoundPlugin, state: str, reason: str, hint: str = "") -> None:
    name, _, distribution, version = plugin
    hooks.record(PluginRecord(name, distribution, version, state, (), reason, hint))


def _wanted(only: Iterable[str] | None) -> set[str] | None:
    if only is not None:
        return set(only)
    restriction = os.environ.get(RESTRICT)
    if restriction is None:
        return None
    return {name.strip() for name in restriction.split(",") if name.strip()}


def _found(point: EntryPoint) -> FoundPlugin:
    dist = point.dist
    name, version = (dist.name, dist.version) if dist is not None else (point.module, "")
    return FoundPlugin(
        one_line(point.name, 60), point.load, one_line(name, 60), one_line(version, 40)
    )
