"""Getting a model: what would come, how large, whether there is room; enter starts it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from gemmahub.errors import DoesNotFit, Gated, GemmahubError, NetworkError
from gemmahub.text import format_bytes, one_line, plural
from gemmahub.text.command import command_line
from gemmahub.tui import messages
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import copy_command
from gemmahub.tui.screens.front import FrontScreen
from gemmahub.tui.widgets.flowing import Flowing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from gemmahub.service import Library, PullPlan

_LONG = 500


class PullScreen(FrontScreen["PullPlan"]):
    """Answers the plan that is to be carried out, None where there is none."""

    BINDINGS: ClassVar = named(
        "pull",
        Binding("enter", "start", "Download it"),
        Binding("f5", "retry", "Try again"),
        Binding("f6", "talk", "Chat with an installed model"),
        Binding("y,f9", "copy", "Copy the command", key_display="y"),
    )
    BOX_TITLE = "Download a model"

    @dataclass
    class Prepared(Message):
        """What getting it would do."""

        plan: PullPlan

    @dataclass
    class Failed(Message):
        """Why it cannot be had now."""

        error: GemmahubError

    @dataclass
    class Waits(Message):
        """What holds the answer up: a connection tried again, a limit that is waited for."""

        text: str

    def __init__(self, library: Library, reference: str, instead: str = "") -> None:
        """``instead`` is a model that is here, offered where the hub cannot be reached."""
        super().__init__()
        self.library = library
        self.reference = reference
        self.instead = instead
        self.plan: PullPlan | None = None
        self.error: GemmahubError | None = None
        self._left = threading.Event()

    @property
    def command(self) -> str:
        """What does the same outside of here."""
        return command_line("pull", self.reference)

    @property
    def trouble(self) -> str:
        """Why the hub could not be asked, "" where it could."""
        error = self.error
        away = isinstance(error, NetworkError) and not isinstance(error, Gated)
        return one_line(error.message, _LONG) if error is not None and away else ""

    def inside(self) -> Iterable[Widget]:
        """The facts, and the command with the keys."""
        yield Flowing(id="facts", classes="front--text")
        yield Static("", id="keys", classes="front--keys", markup=False)

    def on_mount(self) -> None:
        """Ask, in a thread."""
        self._ask()

    def on_unmount(self) -> None:
        """Nobody waits for an answer any more."""
        self._left.set()

    def _ask(self) -> None:
        self.error = None
        self._show(Content.styled("reading its header from the source …", "$text-muted"))
        self.prepare()

    @work(thread=True, exclusive=True, exit_on_error=False, group="pull")
    def prepare(self) -> None:
        """What would come."""
        try:
            with self.library.heard_by(lambda text: self._tell(self.Waits(text)), self._left):
                self._tell(self.Prepared(self.library.plan_pull(self.reference)))
        except Exception as error:  # noqa: BLE001 - a plugin may raise what it likes
            self._tell(self.Failed(GemmahubError.of(error)))

    def _tell(self, message: Message) -> None:
        if not self._left.is_set():
            self.post_message(message)

    @on(Waits)
    def _waits(self, event: Waits) -> None:
        self._show(Content.styled(one_line(event.text, _LONG), "$text-warning"))

    @on(Prepared)
    def _prepared(self, event: Prepared) -> None:
        self.plan = event.plan
        self._show(facts_of(event.plan))

    @on(Failed)
    def _failed(self, event: Failed) -> None:
        self.error = event.error
        lines = [
            Content.styled(one_line(event.error.message, _LONG), "$text-error"),
            Content(one_line(event.error.hint, _LONG)),
        ]
        if self.trouble:
            lines.append(Content.assemble("\n", here_instead(self.instead)))
        self._show(Content("\n").join(lines))

    def _show(self, content: Content) -> None:
        head = Content.styled(one_line(self.reference, _LONG), "bold $text-primary")
        text = Content("\n").join([head, content])
        self.query_one("#facts", Flowing).show(lambda _: text)
        keys = f"$ {one_line(self.command, _LONG)}\n{' · '.join(self._keys())}"
        self.query_one("#keys", Static).update(keys)

    def _keys(self) -> list[str]:
        """What can be done now, each with its key."""
        keys = []
        if self.plan is not None:
            if self.plan.remote is None:
                keys = ["enter opens a chat"]
            elif self.plan.short_bytes:
                keys = ["F5 checks again"]
            else:
                anyway = " anyway" if self.plan.fit.fits is False else ""
                keys = [f"enter downloads it{anyway}"]
        elif self.error is not None:
            keys = ["F5 tries again"]
            if self._offers:
                keys.append("F6 chats with an installed model")
        return [*keys, "y copies the command", "escape goes back"]

    @property
    def _offers(self) -> bool:
        return bool(self.trouble and self.instead)

    def action_start(self) -> None:
        """Start it, once what comes is known; after a failure ask again."""
        if self.plan is None or self.plan.short_bytes:
            self.action_retry()
        else:
            self.dismiss(self.plan)

    def action_retry(self) -> None:
        """Ask again, where that may help."""
        if self.error is not None or (self.plan is not None and self.plan.short_bytes):
            self.plan = None
            self._ask()

    def action_talk(self) -> None:
        """Talk to the model that is here."""
        if self._offers:
            self.app.post_message(messages.OpenChat(self.instead))
            self.dismiss(None)

    def action_copy(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)


def here_instead(instead: str) -> Content:
    """What a person has without the hub."""
    if not instead:
        return Content(
            "Nothing is installed yet. A GGUF file from elsewhere runs too: "
            "gemmahub run ./model.gguf"
        )
    reference = (one_line(instead, _LONG), "bold $text-primary")
    return Content.assemble("Installed models work without it, such as ", reference, ".")


def facts_of(plan: PullPlan) -> Content:
    """What a plan gets, how much of it, where to, and whether it will run."""
    variant, fit = plan.variant, plan.fit
    tokens = " tokens" if fit.largest_context else ""
    memory = "not known" if fit.fits is None else f"{fit.short}{tokens}"
    memory = f"memory: {memory}" + (f": {fit.reason}" if fit.reason else "")
    lines = [
        Content.styled(one_line(variant.precision.summary), "bold $text-accent"),
        Content.styled(one_line(memory, _LONG), "$text-error" if fit.fits is False else ""),
    ]
    if variant.precision.mismatch:
        lines.insert(
            1, Content.styled(f"! {one_line(variant.precision.mismatch)}", "$text-warning")
        )
    lines += [Content("It is on this machine already.")] if plan.remote is None else _transfer(plan)
    if variant.licence:
        licence = f"licence {one_line(variant.licence, _LONG)}"
        lines.append(Content.styled(licence, "$text-muted"))
    lines += [
        Content.styled(f"note: {one_line(note, _LONG)}", "$text-muted") for note in variant.notes
    ]
    return Content("\n").join(lines)


def _transfer(plan: PullPlan) -> list[Content]:
    """What is fetched, what of it is here, and whether there is room."""
    from gemmahub.service.pulling import check_disk

    size, files = plan.size_bytes, plural(len(plan.files), "file")
    here = size - plan.fetch_bytes
    text = f"downloads {format_bytes(plan.fetch_bytes)} in {files}"
    if not plan.fetch_bytes:
        text = f"all {format_bytes(size)} are here: only the sha256 is checked"
    elif here > 0:
        text = f"{text}; {format_bytes(here)} of {format_bytes(size)} are here already"
    free = "" if plan.free_bytes is None else f", {format_bytes(plan.free_bytes)} free"
    into = f"into {plan.landing.how if plan.landing else ''}{free}"
    lines = [Content(text), Content.styled(one_line(into, _LONG), "$text-muted")]
    try:
        check_disk(plan)
    except DoesNotFit as error:
        lines.append(Content.styled(f"! {one_line(error.message, _LONG)}", "$text-error"))
        lines.append(Content(one_line(error.hint, _LONG)))
    return lines
