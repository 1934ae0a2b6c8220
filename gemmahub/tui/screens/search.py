"""What the hub has for some words, each file with its precision; a name is got at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on, work
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from gemmahub.errors import GemmahubError, UsageError
from gemmahub.registry.reference import (
    NameReference,
    PathReference,
    SourceReference,
    parse_reference,
    unknown_scheme,
)
from gemmahub.text import format_bytes, one_line, plural
from gemmahub.text.command import command_line
from gemmahub.tui import messages
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import COPY_COMMAND, copy_command
from gemmahub.tui.screens.front import FrontScreen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from gemmahub.service import Library
    from gemmahub.service.searching import FileRow, RepositoryRow

_LONG = 500
_LIMIT = 10
_KEYS = "enter asks · tab words/files · f9 copies the command · escape back"
_WHAT_FOR = (
    "Finds models on the hub, each file with its precision and whether it fits; a name is got."
)
_ASK = "words, or a name: user/repo:Q4_0, hf://…, ollama://gemma3:4b"


class SearchScreen(FrontScreen[None]):
    """A line for words or a reference, and what was found. What is chosen is asked for with
    :class:`~gemmahub.tui.messages.Pull`, and the results stay for the next one."""

    CSS = """
    SearchScreen OptionList { text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar = named("search", COPY_COMMAND)
    BOX_TITLE = "Search the hub, or get by name"
    SCROLLS = False
    AUTO_FOCUS = "Input"

    @dataclass
    class Found(Message):
        """What the hub has for these words."""

        words: str
        rows: list[RepositoryRow]

    @dataclass
    class Told(Message):
        """What holds the answer up, or why there is none."""

        text: str
        failed: bool = False

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.library = library
        self._left = threading.Event()
        self._asked = ""

    def inside(self) -> Iterable[Widget]:
        """The line, what it came to, the command."""
        yield Input(placeholder=_ASK, compact=True)
        yield Static("", id="told", classes="front--text", markup=False)
        yield OptionList(id="found", markup=False)
        yield Static("", id="keys", classes="front--keys", markup=False)

    def on_mount(self) -> None:
        """Nothing is asked before somebody types."""
        self.query_one(OptionList).display = False
        self._told(self.Told(_WHAT_FOR))
        self._show_command()

    def on_unmount(self) -> None:
        """Nobody waits for an answer any more."""
        self._left.set()

    @property
    def chosen(self) -> str:
        """The reference under the cursor, "" while the line has the focus."""
        found = self.query_one(OptionList)
        option = found.highlighted_option if found.has_focus else None
        return option.id or "" if option else ""

    @property
    def command(self) -> str:
        """What does the same outside of here."""
        text = self.query_one(Input).value.strip()
        wanted = self.chosen or (text if is_name(self.library, text) else "")
        if wanted:
            return command_line("pull", wanted)
        return command_line("search", *text.split()) if text else ""

    @on(Input.Changed)
    @on(OptionList.OptionHighlighted)
    @on(events.DescendantFocus)
    def _show_command(self) -> None:
        command = one_line(self.command, _LONG)
        self.query_one("#keys", Static).update(f"$ {command}\n{_KEYS}" if command else _KEYS)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if not text:
            return
        try:
            name = is_name(self.library, text, strictly=True)
        except UsageError as error:
            self._tell(self.Told(f"{error.message}. {error.hint}", failed=True))
            return
        if name:
            self.app.post_message(messages.Pull(text, then_chat=True))
            return
        self._asked = text
        self.query_one(OptionList).display = False
        self._tell(self.Told("searching the hub …"))
        self.search(text)

    @work(thread=True, exclusive=True, exit_on_error=False, group="search")
    def search(self, words: str) -> None:
        """Ask, in a thread."""
        try:
            with self.library.heard_by(lambda text: self._tell(self.Told(text)), self._left):
                self._tell(self.Found(words, self.library.search(words, _LIMIT)))
        except GemmahubError as error:
            self._tell(self.Told(f"{error.message}\n{error.hint}", failed=True))

    def _tell(self, message: Message) -> None:
        if not self._left.is_set():
            self.post_message(message)

    @on(Told)
    def _told(self, event: Told) -> None:
        style = "$text-error" if event.failed else "$text-muted"
        lines = [one_line(line, _LONG) for line in event.text.splitlines()]
        content = Content("\n").join(Content.styled(line, style) for line in lines)
        self.query_one("#told", Static).update(content)

    @on(Found)
    def _found(self, event: Found) -> None:
        if event.words != self._asked:
            return  # something else was asked meanwhile
        found = self.query_one(OptionList)
        found.clear_options()
        found.add_options(options_for(event.rows))
        any_ = any(row.files for row in event.rows)
        found.display = bool(event.rows)
        told = plural(sum(len(row.files) for row in event.rows), "file")
        text = f"{told} in {len(event.rows):,} of the hub's repositories"
        if not event.rows:
            text = "no repository matches: try fewer words"
        elif any(f.file.basis == "by name" for row in event.rows for f in row.files):
            text += "; ~ from the name only, measured before the download"
        self._told(self.Told(text))
        if any_:
            found.focus()
            found.action_first()

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        if event.option.id:
            self.app.post_message(messages.Pull(event.option.id, then_chat=True))

    def action_copy_command(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)


def is_name(library: Library, text: str, *, strictly: bool = False) -> bool:
    """Whether a text names one model, and is not words to look for.

    Raises: UsageError, if ``strictly``, for what can be neither: a path, a broken reference.
    """
    try:
        parsed: Any = parse_reference(text)
    except UsageError:
        if strictly and ("/" in text or ":" in text):
            raise
        return False
    if isinstance(parsed, PathReference):
        if strictly:
            shown = one_line(text, _LONG)
            raise UsageError(f"{shown} is a file or folder here", f"gemmahub run {shown}")
        return False
    if isinstance(parsed, SourceReference) and library.sources.of(text) is None:
        if strictly:
            raise unknown_scheme(text)
        return False
    if isinstance(parsed, NameReference) and parsed.variant is None:
        return library.registry.catalog.model(parsed.name) is not None
    return True


def options_for(rows: Iterable[RepositoryRow]) -> list[Option]:
    """Repositories as headings, their files below them, each with what it is and whether it fits;
    a file once, also where it is found twice."""
    options: list[Option] = []
    seen: set[str] = set()
    for row in rows:
        options.append(Option(_heading(row), disabled=True))
        for file in row.files:
            reference = file.file.catalogued or file.file.reference
            if reference not in seen:
                seen.add(reference)
                options.append(Option(_line(file), id=reference))
    return options


def _heading(row: RepositoryRow) -> Content:
    repository = row.repository
    facts = [
        "in the catalogue" if repository.catalogued else "",
        "official" if repository.official else "",
        "gated: accept its licence there first" if repository.gated else "",
        "private" if repository.private else "",
        "" if repository.downloads is None else plural(repository.downloads, "download"),
        "" if row.files else "no model file of a known format",
    ]
    about = " · ".join(filter(None, facts))
    return Content.assemble(
        (one_line(repository.name, 120), "bold $text-primary"), (f"  {about}", "$text-muted")
    )


def _line(row: FileRow) -> Content:
    file = row.file
    label = f"{'~' if file.basis == 'by name' else ''}{one_line(file.label or '?', 40)}"
    if file.qat and "QAT" not in label.upper():
        label += " QAT"
    bits = "" if row.bits_per_weight is None else f"{row.bits_per_weight:.2f} bits/weight"
    size = "" if file.size_bytes is None else format_bytes(file.size_bytes)
    fits = {True: "$text-success", False: "$text-error", None: "$text-muted"}[row.fit.fits]
    facts = " · ".join(filter(None, (size, bits)))
    name = one_line(file.catalogued or file.path, 60)
    fit = "?" if row.fit.fits is None else row.fit.short.split(" · ")[0]
    return Content.assemble(f"  {name}  ", (label, "$text-accent"), "  ", (fit, fits), f"  {facts}")
