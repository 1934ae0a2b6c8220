"""Bindings: what each key means everywhere, and names by which a person gives them other keys
(``[keys]`` in the settings)."""

from __future__ import annotations

import pkgutil
import re
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from textual.binding import Binding, BindingType
    from textual.dom import DOMNode


class KeyMeaning(NamedTuple):
    """What keys mean on every screen. ``keys`` are separated by commas, the first is the one that
    is shown and the others are the same; ``names`` are of the bindings that mean it, with ``*``."""

    keys: str
    says: str
    names: str


KEYS: Final = (
    KeyMeaning(
        "escape",
        "ends what is nearest: an answer, a load, a dialog, the screen",
        "*.back *.cancel *.close *.leave *.stop confirm.no other-model.*",
    ),
    KeyMeaning(
        "enter",
        "takes what is under the cursor",
        "*.choose *.chat *.start *.open *.take setup.set-up",
    ),
    KeyMeaning(
        "space",
        "switches what is under the cursor: variants, a download, the server",
        "library.fold downloads.pause serving.switch",
    ),
    KeyMeaning("f1,question_mark", "all keys", "*.keys"),
    KeyMeaning("f2", "gives a title", "*.rename"),
    KeyMeaning("f3", "exports", "*.export"),
    KeyMeaning(
        "f4", "copies what is shown: an answer, an address", "chat.copy duel.copy serving.copy"
    ),
    KeyMeaning("f5", "loads, looks or tries again", "*.load-again *.look *.refresh *.retry"),
    KeyMeaning("f6", "talks to a model that is here", "*.talk-to-newest pull.talk"),
    KeyMeaning("f7", "takes a file: an image, prompts", "chat.attach duel.prompts"),
    KeyMeaning(
        "f8,delete,X",
        "deletes, or cancels a download",
        "conversations.delete downloads.cancel library.remove",
    ),
    KeyMeaning(
        "f9,y",
        "copies the command; y where no letters are typed",
        "*.copy-command *.copy",
    ),
    KeyMeaning("f10", "another model", "*.other-model"),
    KeyMeaning("f12", "keeps a preset", "*.keep-preset"),
    KeyMeaning("ctrl+g", "changes a question", "*.edit"),
    KeyMeaning("ctrl+l", "opens and folds a thought", "*.thought"),
    KeyMeaning("ctrl+n", "begins a conversation", "*.new"),
    KeyMeaning("ctrl+o,o", "kept conversations", "*.conversations"),
    KeyMeaning("ctrl+r", "answers again", "*.regenerate"),
    KeyMeaning(
        "ctrl+s",
        "how a model is asked: opens the options and accepts them",
        "chat.options chat-options.accept duel.mode",
    ),
    KeyMeaning("ctrl+t", "thinks or not", "*.think"),
    KeyMeaning("ctrl+z", "back to the shell", "*.suspend-process"),
    KeyMeaning("q,ctrl+q", "leaves gemmahub", "*.quit"),
    KeyMeaning("up,k", "up", "*.up *.scroll-up downloads.focus-previous *.best-of-its-size"),
    KeyMeaning(
        "down,j",
        "down",
        "*.down *.scroll-down *.best-of-its-size-smaller downloads.focus-next "
        "conversations.to-rows",
    ),
    KeyMeaning("pageup", "a page up", "*.a-page-up details.page-up"),
    KeyMeaning("pagedown", "a page down", "*.a-page-down details.page-down"),
    KeyMeaning("home,g", "to the start", "*.top *.first *.scroll-home"),
    KeyMeaning("end,G", "to the end", "*.bottom *.last *.scroll-end"),
    KeyMeaning(
        "left,h,minus",
        "to the left: less context",
        "library.less-context *.smaller confirm.focus-previous",
    ),
    KeyMeaning(
        "right,l,plus", "to the right: more context", "library.context *.larger confirm.focus-next"
    ),
    KeyMeaning("tab", "the next part", "*.next-part"),
    KeyMeaning("shift+tab", "the part before", "*.part-before"),
    KeyMeaning("K,shift+up", "scrolls the details up", "*.scroll-the-details-up"),
    KeyMeaning("J,shift+down", "scrolls the details down", "*.scroll-the-details-down"),
    KeyMeaning("ctrl+up", "the turn before", "*.turn-before"),
    KeyMeaning("ctrl+down", "the turn after", "*.turn-after"),
    KeyMeaning("shift+pageup", "scrolls up while one writes", "chat.page-up *.preview-page-up"),
    KeyMeaning(
        "shift+pagedown", "scrolls down while one writes", "chat.page-down *.preview-page-down"
    ),
    KeyMeaning("slash", "filters", "*.filter"),
    KeyMeaning("0", "the recommended settings", "*.recommended"),
    KeyMeaning("a", "searches the hub", "*.search"),
    KeyMeaning("c", "compares", "*.compare"),
    KeyMeaning("d", "a duel", "*.duel"),
    KeyMeaning("D", "downloads", "*.downloads"),
    KeyMeaning("e", "explains the score", "*.explain"),
    KeyMeaning("E", "serves models to other programs", "*.serving"),
    KeyMeaning("m", "one row a model, or all variants", "*.fold-all"),
    KeyMeaning("p", "plugins and doctor", "*.plugins"),
    KeyMeaning("P", "size against quality", "*.sizes"),
    KeyMeaning("r", "the other way round", "*.reverse"),
    KeyMeaning("R", "really removes", "remove.remove"),
    KeyMeaning("s", "sorts by the next column", "*.sort-by-the-next-column"),
    KeyMeaning("S", "sorts by the column before", "*.sort-by-the-column-before"),
    KeyMeaning("t", "another kind: of cache, of measure", "*.cache-type *.measure"),
    KeyMeaning("u", "what it is for: chat, long context, vision, speed", "*.use"),
    KeyMeaning("U", "unloads all models", "serving.unload"),
    KeyMeaning("v", "all, what fits, what is installed", "*.show"),
    KeyMeaning("w", "what if: another machine", "*.what-if"),
    KeyMeaning("x", "marks", "*.mark"),
)
"""One key for one thing, on every screen. A screen is also closed by the key that opened it, and
a question of yes or no takes :data:`ANSWERS`."""

ANSWERS: Final = {"y": "confirm.yes", "n": "confirm.no"}
"""The letters of the only screen on which a key has another meaning: its buttons name them."""


def meaning_of(name: str) -> KeyMeaning | None:
    """What a binding means; of several that fit the one that names it in full."""
    fitting = [
        (pattern == name, meaning)
        for meaning in KEYS
        for pattern in meaning.names.split()
        if fnmatchcase(name, pattern)
    ]
    return max(fitting, key=lambda found: found[0])[1] if fitting else None


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
