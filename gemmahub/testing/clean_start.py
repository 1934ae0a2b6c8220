"""What a plugin does to a fresh interpreter: run as ``python -m gemmahub.testing.clean_start``.

Arguments: the plugin's entry-point name, its backend's name (empty for the only one), and
``without-engine`` to hide all that is neither Python's, gemmahub's nor the plugin's own. Prints a
JSON object.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def main(plugin: str, backend: str, how: str = "") -> dict[str, Any]:
    """The plugin's state, what it imported at which step, and what it says of its engine."""
    from gemmahub.engines.installed import GROUP
    from gemmahub.engines.manager import load_plugins

    points = [point for point in metadata.entry_points(group=GROUP) if point.name == plugin]
    own = {point.module.partition(".")[0] for point in points}
    if how == "without-engine":
        _hide_engines({point.dist.name for point in points if point.dist is not None})
    start = set(sys.modules)
    manager = load_plugins(only=[plugin])
    offers = manager.backends()
    after_hooks = set(sys.modules)
    chosen = next((o for o in offers if backend in ("", o.backend.name)), None)
    answer = None if chosen is None else asdict(manager.availability(chosen))
    record = next((r for r in manager.records if r.name == plugin), None)
    return {
        "found": record is not None,
        "reason": record.reason if record else "",
        "availability": answer,
        "imported_by_hooks": _foreign(after_hooks - start, own),
        "imported_by_availability": _foreign(set(sys.modules) - after_hooks, own),
    }


def _foreign(modules: set[str], own: set[str]) -> list[str]:
    """The packages among the modules that are neither Python's nor the plugin's own."""
    tops = {name.partition(".")[0] for name in modules}
    return sorted(tops - own - set(sys.stdlib_module_names) - {"gemmahub"})


def _hide_engines(keep: set[str]) -> None:
    """Make all distributions invisible that gemmahub does not need for itself, but ``keep``."""
    kept = {_canonical(name) for name in keep} | _requirements("gemmahub")
    modules = {
        top
        for top, names in metadata.packages_distributions().items()
        if not kept.intersection(map(_canonical, names))
    }
    sys.meta_path[:] = [_Hiding(finder, modules, kept) for finder in sys.meta_path]


def _requirements(name: str) -> set[str]:
    """The names of a distribution and of all that it requires, without extras."""
    found: set[str] = set()
    open_names = [name]
    while open_names:
        current = _canonical(open_names.pop())
        if current in found:
            continue
        found.add(current)
        try:
            lines = metadata.requires(current) or []
        except metadata.PackageNotFoundError:
            continue
        open_names += [
            match.group() for line in lines if "extra ==" not in line
            if (match := re.match(r"[\w.-]+", line))
        ]  # fmt: skip
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class _Hiding:
    """A finder of modules and distributions that does not see some of them."""

    def __init__(self, finder: Any, modules: set[str], kept: set[str]) -> None:
        self._finder, self._modules, self._kept = finder, modules, kept

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] in self._modules:
            return None
        return self._finder.find_spec(name, path, target)

    def find_distributions(self, context: Any) -> Iterator[Any]:
        found = getattr(self._finder, "find_distributions", lambda context: ())(context)
        return (dist for dist in found if _canonical(dist.name) in self._kept)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
