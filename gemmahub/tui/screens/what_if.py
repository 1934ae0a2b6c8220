"""Another machine: pick a known one, or say its memory, and everything is ranked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from gemmahub.errors import UsageError
from gemmahub.hardware.described import ALL_HOSTS, described_machine, host_names
from gemmahub.hardware.simulate import PRESETS, parse_size
from gemmahub.tui.screens.front import FrontScreen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.widget import Widget

_HERE = "here"
_KEYS = "enter takes it · tab to the line for sizes and machines · escape back"


_PLACEHOLDER = "or 24GiB (GPU), 24GiB + 64GiB (+ RAM), +16GiB, 2x rtx-3090, 4x h100, 2 nodes"


class WhatIfScreen(FrontScreen[dict[str, str]]):
    """Answers the options by which commands name that machine, none for this one."""

    BOX_TITLE = "What if this were another machine?"
    SCROLLS = False

    def __init__(self, hosts: Sequence[str] = ()) -> None:
        """``hosts`` are those of the settings, which can be chosen, too."""
        super().__init__()
        self._hosts = tuple(hosts)

    def inside(self) -> Iterable[Widget]:
        """This machine, hosts of the settings, known machines, and a line for others."""
        names = host_names(self._hosts)
        hosts = [Option(name, id=name) for name in names]
        if len(names) > 1:
            hosts.insert(0, Option(f"All {len(names)} hosts of the settings", id=ALL_HOSTS))
        known = [Option(f"{preset.title}", id=preset.name) for preset in PRESETS]
        yield OptionList(Option("This machine", id=_HERE), *hosts, *known, markup=False)
        yield Input(placeholder=_PLACEHOLDER, compact=True)
        yield Static("", classes="front--error", markup=False)
        yield Static(_KEYS, classes="front--keys", markup=False)

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        name = event.option.id
        self.dismiss({} if name in (None, _HERE) else {"machine": str(name)})

    @on(Input.Submitted)
    def _said(self, event: Input.Submitted) -> None:
        try:
            self.dismiss(machine_in(event.value, self._hosts))
        except UsageError as error:
            self.query_one(".front--error", Static).update(f"{error.message}. {error.hint}")


def machine_in(text: str, hosts: Sequence[str] = ()) -> dict[str, str]:
    """The options for what a person writes: sizes as :func:`sizes_in` reads them, else a machine
    as ``recommend --machine`` does.

    Raises: UsageError for what is neither.
    """
    try:
        return sizes_in(text)
    except UsageError:
        if not any(letter.isalpha() and letter.casefold() not in "kmgtib" for letter in text):
            raise
    described_machine(text, hosts)
    return {"machine": text.strip()}


def sizes_in(text: str) -> dict[str, str]:
    """The options for sizes as a person writes them: ``GPU``, ``GPU + RAM``, ``+ RAM``.

    Raises: UsageError for what is no size.
    """
    memory, _, ram = (part.strip() for part in text.partition("+"))
    for size in filter(None, (memory, ram)):
        parse_size(size)
    if not memory and not ram:
        raise UsageError("no size is given", "Write for example 24GiB, or +16GiB for RAM alone.")
    return {name: size for name, size in (("memory", memory), ("ram", ram)) if size}
