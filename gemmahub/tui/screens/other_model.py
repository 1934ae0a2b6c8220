"""Another model for a kept conversation whose own is gone, or does not load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from gemmahub.errors import GemmahubError
from gemmahub.text import one_line
from gemmahub.tui.bindings import named
from gemmahub.tui.screens.front import FrontScreen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from gemmahub.conversations import Described
    from gemmahub.registry.variants import Variant
    from gemmahub.service import Library


class OtherModelScreen(FrontScreen[str]):
    """Gives the reference of a model on this machine; None: the conversation is only read."""

    BINDINGS: ClassVar = named("other-model", Binding("escape", "dismiss(None)", "Only read"))
    BOX_TITLE = "Which model continues it?"
    SCROLLS = False

    @dataclass
    class Listed(Message):
        """The models that can answer; ``problem``: why they are not known."""

        variants: list[Variant]
        problem: str = ""

    def __init__(self, library: Library, held: Described, why: str) -> None:
        """``why`` says what became of its own model."""
        super().__init__()
        self._library, self._held, self._why = library, held, why

    def inside(self) -> Iterable[Widget]:
        """Why, the models, the keys."""
        yield Static(Content(one_line(self._why, 500)), id="told", classes="front--text")
        yield OptionList(id="found", markup=False)
        yield Static(
            Content("enter continues with that model · esc only reads"), classes="front--keys"
        )

    def on_mount(self) -> None:
        """Look, in a thread."""
        self.query_one(OptionList).display = False
        self.look()

    @work(thread=True, exclusive=True, exit_on_error=False, group="models")
    def look(self) -> None:
        """What is on this machine and can answer."""
        from gemmahub.service.kept_model import models_that_answer

        try:
            self.post_message(self.Listed(models_that_answer(self._library, self._held)))
        except GemmahubError as error:
            self.post_message(self.Listed([], error.in_full))

    @on(Listed)
    def _listed(self, event: Listed) -> None:
        found = self.query_one(OptionList)
        found.add_options(_option(variant) for variant in event.variants)
        found.display = bool(event.variants)
        if event.variants:
            found.focus()
            found.action_first()
            return
        told = event.problem or (
            "No other model is on this machine. The conversation can be read, copied and exported; "
            "Enter on a model in the library gets one."
        )
        text = f"{one_line(self._why, 500)}\n{one_line(told, 500)}"
        self.query_one("#told", Static).update(Content(text))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)


def _option(variant: Variant) -> Option:
    return Option(
        Content.assemble(
            (one_line(variant.reference, 120), "bold"),
            ("  " + one_line(variant.precision.short, 60), "$text-accent"),
        ),
        id=variant.reference,
    )
