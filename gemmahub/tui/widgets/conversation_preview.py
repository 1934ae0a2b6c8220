"""What a kept conversation says, beside the list of them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.text import Text
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets.option_list import Option

from gemmahub.conversations import SPEAKERS, BrokenConversation, Match
from gemmahub.text import one_line, plural, strip_controls
from gemmahub.tui.widgets.flowing import Flowing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.app import ComposeResult

    from gemmahub.conversations import SavedMessage

_MOST_CHARACTERS: Final = 4000
"""Of all turns: a preview is drawn whenever the cursor rests."""
_MOST_OF_A_TURN: Final = 1500
_WHOLE: Final = "enter shows all of it"


class ConversationPreview(VerticalScroll):
    """The facts of a conversation and its turns; where words were searched for, from the turn
    before the first one that has them, with the words marked."""

    def compose(self) -> ComposeResult:
        yield Flowing(id="preview")

    def show(
        self, entry: Match | BrokenConversation | None, words: Sequence[str] = (), note: str = ""
    ) -> None:
        """``note`` is what became of its model, "" where there is nothing to say."""
        content = Content("") if entry is None else _content(entry, words, note)
        self.query_one(Flowing).show(lambda _: content)
        self.scroll_home(animate=False)


def conversation_row(
    entry: Match | BrokenConversation, current: str = "", *, searched: bool = False
) -> Option:
    """Title, day and tags; where words were ``searched``, the text around the first. ``current``
    is the id of the one that is open."""
    if isinstance(entry, BrokenConversation):
        told = f"✗ {one_line(entry.id)}\n  cannot be read: {one_line(entry.reason)}"
        return Option(Text(told, style="dim"))
    row = entry.summary
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{'▸' if row.id == current else ' '} {one_line(row.title)}", "bold")
    damaged = (f"{plural(row.damaged, 'damaged line')}",) if row.damaged else ()
    text.append(f"\n  {one_line(' · '.join((_time(row.changed), *row.tags, *damaged)))}", "dim")
    if searched and entry.excerpt != row.title:
        text.append(f"\n  {one_line(entry.excerpt)}", "italic dim")
    return Option(text)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M") if at else "?"


def _content(entry: Match | BrokenConversation, words: Sequence[str], note: str) -> Content:
    if isinstance(entry, BrokenConversation):
        return Content.assemble(
            (one_line(entry.id), "bold"),
            "\n",
            (f"cannot be read: {one_line(entry.reason)}", "$text-error"),
            f"\nIts file is {one_line(str(entry.path), 500)}. F8 deletes it.",
        )
    lines = [*_head(entry, note), Content("")]
    messages = entry.saved.messages
    first = max(entry.turn - 1, 0) if words and entry.word else 0
    if first:
        lines.append(Content.styled(f"… {plural(first, 'turn')} before this", "$foreground-muted"))
    shown = room = 0
    for message in messages[first:]:
        if room >= _MOST_CHARACTERS:
            break
        lines += _turn(message, words)
        shown, room = shown + 1, room + min(len(message.text), _MOST_OF_A_TURN)
    if rest := len(messages) - first - shown:
        told = f"… and {plural(rest, 'turn')}: {_WHOLE}"
        lines.append(Content.styled(told, "$foreground-muted"))
    if not messages:
        lines.append(Content.styled("nothing was asked yet", "$foreground-muted"))
    return Content("\n").join(lines)


def _head(entry: Match, note: str) -> Iterator[Content]:
    summary, held = entry.summary, entry.saved.described
    yield Content.styled(one_line(summary.title), "bold $text-primary")
    yield Content(one_line(held.answerer or held.reference, 300))
    if held.against:
        others = ", ".join(one_line(name, 100) for name in held.against)
        yield Content.styled(f"one side of a duel with {others}", "$text-accent")
    began, ended = _time(summary.created), _time(summary.changed)
    until = "" if began == ended else f" to {ended}"
    yield Content.styled(
        f"{began}{until} · {plural(summary.messages, 'turn')}", "$foreground-muted"
    )
    if summary.damaged:
        text = f"{plural(summary.damaged, 'damaged line')}: {one_line(summary.problem)}"
        yield Content.styled(text, "$text-warning")
    if note:
        yield Content.styled(one_line(note, 300), "$text-warning")


def _turn(message: SavedMessage, words: Sequence[str]) -> Iterator[Content]:
    who = SPEAKERS.get(message.role, message.role)
    style = "bold $text-accent" if message.role == "user" else "bold $text-success"
    yield Content.styled(one_line(who, 40), style)
    text = strip_controls(message.text.strip())
    if len(text) > _MOST_OF_A_TURN:
        places = [place for word in words if (place := text.casefold().find(word)) > 0]
        start = max(min(places, default=0) - _MOST_OF_A_TURN // 2, 0)
        end = start + _MOST_OF_A_TURN
        text = f"{'… ' if start else ''}{text[start:end]}{' …' if end < len(text) else ''}"
    yield _marked(text, words)
    yield Content("")


def _marked(text: str, words: Sequence[str]) -> Content:
    """The text with each place marked where a word stands."""
    content, folded = Content(text), text.casefold()
    if len(folded) != len(text):  # then places in one are not those in the other
        return content
    for word in words:
        at = folded.find(word)
        while word and at >= 0:
            content = content.stylize("bold $bar-text on $accent", at, at + len(word))
            at = folded.find(word, at + len(word))
    return content
