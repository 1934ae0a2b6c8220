"""Bindings with names, by which a person gives them other keys: ``[keys]`` in the settings."""

from __future__ import annotations

import pkgutil
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from textual.binding import Binding, BindingType
    from textual.dom import DOMNode


def named(screen: str, *bindings: Binding) -> list[BindingType]:
    """The bindings of a screen, each called ``SCREEN.what-it-does``: by its action, or by its
    description where several bindings share one action with other arguments."""
    return [replace(each, id=f"{screen}.{_name(each)}") for each in bindings]


def known_names() -> dict[str, Binding]:
    """Every binding of the UI that has a name, by that."""
    from textual.binding import Binding
    from textual.dom import DOMNode

    for module in pkgutil.walk_packages([str(Path(__file__).parent)], "gemmahub.tui."):
        if module.name.split(".")[2] in ("app", "screens", "widgets"):
            import_module(module.name)
    found: dict[str, Binding] = {}
    for kind in _below(DOMNode):
        if kind.__module__.startswith("gemmahub.tui."):
            found |= {
                each.id: each
                for each in kind.__dict__.get("BINDINGS", ())
                if isinstance(each, Binding) and each.id
            }
    return found


def _below(kind: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def unknown_names(keys: Mapping[str, str], known: Iterable[str]) -> str:
    """What is wrong with ``[keys]``, in a sentence; "" where every name is one."""
    known = sorted(known)
    for name in keys:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {', '.join(near)}?" if near else "docs/guides/tui.md lists them"
            return f"[keys] in the settings: there is no {one_line(name)!r}; {hint}"
    return ""


def _name(binding: Binding) -> str:
    shared = "(" in binding.action and binding.description
    return _slug(binding.description if shared else binding.action.removeprefix("app."))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")
