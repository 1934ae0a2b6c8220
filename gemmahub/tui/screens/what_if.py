"""Another machine: pick a known one, or say its memory, and everything is ranked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from gemmahub.errors import UsageError
from gemmahub.hardware.simulate import PRESETS, parse_size
from gemmahub.tui.screens.front import FrontScreen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

_HERE = "here"
_KEYS = "enter takes it · tab to the sizes · escape back"


class WhatIfScreen(FrontScreen[dict[str, str]]):
    """Answers the options by which commands name that machine, none for this one."""

    BOX_TITLE = "What if the machine were another one?"
    SCROLLS = False

    def inside(self) -> Iterable[Widget]:
        """Known machines, and a line for sizes."""
        known = [Option(f"{preset.title}", id=preset.name) for preset in PRESETS]
        yield OptionList(Option("This machine", id=_HERE), *known, markup=False)
        yield Input(
            placeholder="or its memory: 24GiB (GPU), 24GiB + 64GiB (+ RAM), +16GiB", compact=True
        )
        yield Static("", classes="front--error", markup=False)
        yield Static(_KEYS, classes="front--keys", markup=False)

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        name = event.option.id
        self.dismiss({} if name in (None, _HERE) else {"machine": str(name)})

    @on(Input.Submitted)
    def _said(self, event: Input.Submitted) -> None:
        try:
            self.dismiss(sizes_in(event.value))
        except UsageError as error:
            self.query_one(".front--error", Static).update(f"{error.message}. {error.hint}")


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
