"""Removing a model: what goes, what stays and why; only then a yes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from gemmahub.errors import GemmahubError
from gemmahub.text import format_bytes, one_line
from gemmahub.text.command import command_line
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import copy_command
from gemmahub.tui.messages import LibraryChanged
from gemmahub.tui.screens.front import FrontScreen
from gemmahub.tui.widgets.flowing import Flowing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from textual.widget import Widget

    from gemmahub.engines.contract import Kept
    from gemmahub.service import Library
    from gemmahub.service.disk import Removing
    from gemmahub.stores.removal_steps import Removed

_LONG = 500


class RemoveScreen(FrontScreen[bool]):
    """Answers True when something was removed."""

    BINDINGS: ClassVar = named(
        "remove",
        Binding("R", "remove", "Remove it"),
        Binding("y,f9", "copy", "Copy the command", key_display="y"),
    )
    BOX_TITLE = "Remove a model"

    @dataclass
    class Planned(Message):
        """What would go."""

        removing: Removing

    @dataclass
    class Failed(Message):
        """Why nothing can go."""

        error: GemmahubError

    @dataclass
    class Done(Message):
        """What went."""

        removed: Removed

    def __init__(self, library: Library, reference: str) -> None:
        super().__init__()
        self.library = library
        self.reference = reference
        self.removing: Removing | None = None
        self._busy = False

    @property
    def command(self) -> str:
        """What does the same outside of here."""
        return command_line("rm", self.reference)

    def inside(self) -> Iterable[Widget]:
        """What goes, and the keys."""
        facts = Flowing(id="facts", classes="front--text")
        facts.show(
            lambda _: Content(f"{one_line(self.reference, _LONG)}\nchecking what it shares …")
        )
        yield facts
        command = one_line(self.command, _LONG)
        keys = f"$ {command}\nR removes it · y copies the command · escape goes back"
        yield Static(keys, classes="front--keys", markup=False)

    def on_mount(self) -> None:
        """Look, in a thread: links are counted over all stores."""
        self.plan()

    @work(thread=True, exclusive=True, exit_on_error=False, group="remove")
    def plan(self) -> None:
        """What would go."""
        from gemmahub.service import disk

        try:
            self.post_message(self.Planned(disk.plan_removal(self.library, self.reference)))
        except GemmahubError as error:
            self.post_message(self.Failed(error))

    @work(thread=True, exclusive=True, exit_on_error=False, group="remove")
    def carry_out(self, removing: Removing) -> None:
        """Remove it."""
        from gemmahub.service import disk

        try:
            self.post_message(self.Done(disk.remove(self.library, removing)))
        except GemmahubError as error:
            self.post_message(self.Failed(error))

    @on(Planned)
    def _planned(self, event: Planned) -> None:
        self.removing = event.removing
        self.query_one("#facts", Flowing).show(lambda _: _facts(event.removing))

    @on(Failed)
    def _failed(self, event: Failed) -> None:
        self._busy = False
        error = event.error
        content = Content.assemble(
            (one_line(error.message, _LONG), "$text-error"), f"\n{one_line(error.hint, _LONG)}"
        )
        self.query_one("#facts", Flowing).show(lambda _: content)

    @on(Done)
    def _done(self, event: Done) -> None:
        removed = event.removed
        self.app.post_message(LibraryChanged())
        told = f"{format_bytes(removed.freed_bytes)} freed"
        for kept in removed.failed:
            told += f"\nnot removed: {one_line(str(kept.path), _LONG)}: {one_line(kept.reason)}"
        self.notify(told, severity="warning" if removed.failed else "information", markup=False)
        self.dismiss(bool(removed.removed))

    def action_remove(self) -> None:
        """Remove it, once it is known what goes."""
        if self._busy or self.removing is None:
            return
        if not self.removing.plan.stores:
            self.notify("none of it can be removed from here", severity="warning", markup=False)
            return
        self._busy = True
        self.carry_out(self.removing)

    def action_copy(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)


def _facts(removing: Removing) -> Content:
    plan = removing.plan
    lines = [Content.styled(one_line(removing.reference, _LONG), "bold $text-primary")]
    if removing.variant is not None:
        lines.append(
            Content.styled(one_line(removing.variant.precision.summary), "bold $text-accent")
        )
    for store in plan.stores:
        freed = f"{format_bytes(store.freed_bytes)} freed in {one_line(store.store)}"
        lines.append(Content.styled(freed, "bold"))
        paths = [step.path for step in store.removal.steps if step.kind != "folder"]
        lines += [Content(f"  {one_line(str(path), _LONG)}") for path in paths]
        lines += [
            Content.styled(f"also removed: {one_line(name, _LONG)}", "$text-warning")
            for name in store.lost
        ]
    lines += _kept("stays", plan.kept)
    lines += _kept("not touched", plan.refused)
    return Content("\n").join(lines)


def _kept(word: str, kept: Iterable[Kept]) -> Iterator[Content]:
    for entry in kept:
        text = f"{word}: {one_line(str(entry.path), _LONG)}: {one_line(entry.reason, _LONG)}"
        yield Content.styled(text, "$foreground-muted")
