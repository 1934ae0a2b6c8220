"""Small questions: a text, a yes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from gemmahub.tui.bindings import named
from gemmahub.tui.commands import COPY_COMMAND, copy_command
from gemmahub.tui.widgets.prompt_editor import PromptEditor

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult


DIALOGS_CSS: Final = Path(__file__).with_name("dialogs.tcss")


class LineDialog(ModalScreen[str | None]):
    """Asks for one line. ``check`` says what is wrong with it, empty when nothing is;
    ``command_for`` makes the command that does the same."""

    CSS_PATH = DIALOGS_CSS
    BINDINGS: ClassVar[list[BindingType]] = named(
        "line",
        Binding("escape", "dismiss(None)", "Cancel"),
        COPY_COMMAND,
    )

    def __init__(
        self,
        title: str,
        value: str = "",
        check: Callable[[str], str] | None = None,
        command_for: Callable[[str], str] | None = None,
    ) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._value = value
        self._check = check
        self._command_for = command_for

    @property
    def command(self) -> str:
        """The command that does the same with what stands there now."""
        return self._command_for(self.query_one(Input).value) if self._command_for else ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static(Content(self._title), classes="dialog--title")
            yield Input(self._value, id="line", select_on_focus=False)
            yield Static("", classes="dialog--error")
            if self._command_for:
                yield Static("", classes="dialog--command")
            keys = "Enter accepts, Esc cancels"
            keys += ", F9 copies the command" if self._command_for else ""
            yield Static(Content(keys), classes="dialog--keys")

    @on(Input.Changed)
    def _show_command(self) -> None:
        for line in self.query(".dialog--command").results(Static):
            line.update(Content(f"$ {self.command}"))
        self.query_one(".dialog--error", Static).update("")

    def action_copy_command(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)

    @on(Input.Submitted)
    def _accept(self, event: Input.Submitted) -> None:
        wrong = self._check(event.value) if self._check else ""
        if wrong:
            self.query_one(".dialog--error", Static).update(Content(wrong))
        else:
            self.dismiss(event.value)


class TextDialog(ModalScreen[str | None]):
    """Asks for several lines, in the editor of the chat: Enter accepts."""

    CSS_PATH = DIALOGS_CSS
    BINDINGS: ClassVar[list[BindingType]] = named(
        "text", Binding("escape", "dismiss(None)", "Cancel")
    )

    def __init__(self, title: str, value: str = "") -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static(Content(self._title), classes="dialog--title")
            yield PromptEditor("", id="text")
            keys = "Enter accepts, Ctrl+J begins a new line, Esc cancels"
            yield Static(Content(keys), classes="dialog--keys")

    def on_mount(self) -> None:
        """The cursor stands where one goes on writing."""
        editor = self.query_one(PromptEditor)
        editor.text = self._value
        editor.move_cursor(editor.document.end)

    @on(PromptEditor.Submitted)
    def _accept(self, event: PromptEditor.Submitted) -> None:
        self.dismiss(event.text)


class ConfirmDialog(ModalScreen[bool]):
    """Asks whether something shall really be done; No is the default."""

    CSS_PATH = DIALOGS_CSS
    BINDINGS: ClassVar[list[BindingType]] = named(
        "confirm",
        Binding("escape,n", "dismiss(False)", "No"),
        Binding("y", "dismiss(True)", "Yes"),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
        COPY_COMMAND,
    )

    def __init__(self, question: str, yes: str, command: str = "") -> None:
        """``command`` does the same."""
        super().__init__(classes="dialog")
        self._question = question
        self._yes = yes
        self.command = command

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield Static(Content(self._question), classes="dialog--title")
            with Horizontal(classes="dialog--buttons"):
                yield Button("No (n)", id="no", compact=True)
                yield Button(f"{self._yes} (y)", id="yes", variant="error", compact=True)
            if self.command:
                yield Static(Content(f"$ {self.command}"), classes="dialog--command")

    def action_copy_command(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
