"""What happens while a model is loaded, and what to do when it does not load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, ProgressBar, Static

from gemmahub.text import strip_controls

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from gemmahub.errors import GemmahubError


_SAYS_NO_MORE: Final = ("load it again", "load the model again")
"""Hints that name no key."""


class LoadBox(Vertical):
    """Stage, progress and, after a failure, the reason and buttons to try again. At rest it says
    what loads a model that was not asked for yet."""

    DEFAULT_CSS = """
    LoadBox {
        height: auto;
        padding: 0 1;
        background: $boost;
        display: none;
        &.-shown { display: block; }
        ProgressBar { width: 1fr; height: 1; }
        Bar { width: 1fr; }
        Button { margin: 0 1 0 0; }
        &.-failed ProgressBar, &.-rests ProgressBar { display: none; }
        #load-buttons { height: auto; display: none; }
        &.-failed #load-buttons { display: block; }
        &.-rests #load-text { color: $text-muted; }
        &.-rests.-gone #load-text { color: $text-warning; }
        &.-failed #load-text { color: $text-error; }
    }
    """

    def compose(self) -> ComposeResult:
        yield Static(id="load-text")
        yield ProgressBar(total=None, show_eta=False, show_percentage=False)
        with Horizontal(id="load-buttons"):
            yield Button("Load again (F5)", id="load-again", variant="primary", compact=True)
            yield Button("Another model (F10)", id="other-model", compact=True)

    def rest(self, text: str, *, other: bool = False) -> None:
        """Nothing is loaded, and nothing was asked for; ``other``: the model is gone."""
        self.remove_class("-failed").add_class("-shown", "-rests").set_class(other, "-gone")
        self.query_one("#load-text", Static).update(Content(strip_controls(text)))

    def tell(self, stage: str, fraction: float | None = None) -> None:
        """What is being done; None: nobody knows how far it is."""
        done = "" if fraction is None else f", {fraction:.0%}"
        self.remove_class("-failed", "-rests").add_class("-shown")
        self.query_one("#load-text", Static).update(
            Content(strip_controls(f"{stage}{done} (Esc cancels)"))
        )
        bar = self.query_one(ProgressBar)
        bar.update(
            total=None if fraction is None else 1.0, progress=0 if fraction is None else fraction
        )

    def fail(self, error: GemmahubError, what: str) -> None:
        """What went wrong, and what to do about it."""
        hint = "" if error.hint in ("", *_SAYS_NO_MORE) else f"{error.hint}; "
        text = f"{what}: {error.message}\nWhat to do: {hint}F5 loads it again"
        self.remove_class("-rests").add_class("-shown", "-failed")
        self.query_one("#load-text", Static).update(Content(strip_controls(text)))

    def done(self) -> None:
        """There is nothing to tell any more."""
        self.remove_class("-shown", "-failed", "-rests")
