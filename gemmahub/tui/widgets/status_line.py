"""What goes on behind every screen, in one line; no line where nothing does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from gemmahub.text import duration, one_line, percent, plural
from gemmahub.tui.background import Behind
from gemmahub.tui.sort_filter import short_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import App

    from gemmahub.tui.background import Background
    from gemmahub.tui.downloads import Download, Downloads
    from gemmahub.tui.server_control import ServerControl

LOOK_SECONDS = 1.0
_LEAST_LINES: Final = 10
"""Of a terminal: with fewer, each is needed for what the screen is for."""
_MOST_NAMES: Final = 2
"""Models that are named; of more only the number is told."""


@dataclass(frozen=True, slots=True)
class StatusPart:
    """A part of the line, and the action of the application that a click on it takes."""

    text: str
    action: str
    style: str = "$text-accent"


class StatusLine(Static):
    """Downloads on their way, models in memory, what is served, and kept conversations."""

    DEFAULT_CSS = """
    StatusLine {
        height: 1;
        padding: 0 1;
        display: none;
        color: $text-accent;
        background: $panel;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    auto_links = False
    """Parts keep their own colours; each is a link."""

    def on_mount(self) -> None:
        """From now on, once a second."""
        self._shown: list[StatusPart] = []
        self.set_interval(LOOK_SECONDS, self.look)
        self.look()

    def look(self) -> None:
        """Say what goes on now. Nothing is asked for here: it would hold up the keys."""
        parts = going_on(self.app) if self.app.size.height >= _LEAST_LINES else []
        if parts != self._shown:
            self._shown = parts
            self.update(Content(" · ").join(map(_drawn, parts)))
            self.display = bool(parts)


def _drawn(part: StatusPart) -> Content:
    click = Style.from_meta({"@click": f"app.{part.action}"})
    text = one_line(part.text, 300)
    return Content(text).stylize(part.style).stylize(click)


def going_on(app: App[Any]) -> list[StatusPart]:
    """What goes on behind the screens of an application."""
    begun = vars(app)  # nothing is made only to be looked at
    downloads: Downloads | None = begun.get("downloads")
    serving: ServerControl | None = begun.get("serving")
    background: Background | None = begun.get("background")
    seen = background.seen if background is not None else Behind()
    found = downloads_in_words(downloads.all) if downloads is not None else []
    parts = [StatusPart(text, "downloads") for text in found]
    parts += models_in_words(loaded_here(app), seen)
    parts += servers_in_words(serving, seen)
    return parts + chats_in_words(app, seen)


def fetched(app: App[Any]) -> dict[str, int]:
    """How many per cent of each model on its way are here, by reference."""
    downloads: Downloads | None = vars(app).get("downloads")
    going = [each for each in downloads.all if each.is_going] if downloads is not None else []
    return {each.plan.variant.reference: int(100 * share_of(each)) for each in going}


def downloads_in_words(downloads: Sequence[Download]) -> list[str]:
    """Each download that runs, how far and how long still; how many wait, and how many failed."""
    found = [_running(each) for each in downloads if each.state in ("running", "pausing")]
    for state, word in (("waiting", "wait"), ("paused", "paused"), ("failed", "failed")):
        if count := sum(each.state == state for each in downloads):
            found.append(f"{count} {word}{'s' if word == 'wait' and count == 1 else ''}")
    return found


def share_of(download: Download) -> float:
    """How much of a download is here, 0 to 1."""
    now = download.progress
    done, size = (
        (download.here, download.size) if now is None else (now.all_done_bytes, now.all_bytes)
    )
    return done / size if size else 0.0


def loaded_here(app: App[Any]) -> list[str]:
    """References of the models that chats and duels of this application have loaded."""
    slots = [view.model for view in _widgets(app, "ChatView")]
    slots += [pane.side for pane in _widgets(app, "DuelPane")]
    return [slot.running.variant.reference for slot in slots if slot.running is not None]


def _widgets(app: App[Any], kind: str) -> list[Any]:
    """The widgets of a kind on all screens; by name, so that no screen is loaded for it."""
    return [widget for screen in app.screen_stack for widget in screen.query(kind)]


def models_in_words(here: Sequence[str], seen: Behind) -> list[StatusPart]:
    """Models that this application has loaded, and those that other programs hold in memory."""
    served = [model.name for server in seen.servers for model in server.models if model.loaded]
    names = list(dict.fromkeys((*here, *served, *seen.loaded)))
    if not names:
        return []
    shown = ", ".join(map(short_reference, names))
    text = shown if len(names) <= _MOST_NAMES else plural(len(names), "model")
    return [StatusPart(f"● {text} loaded", "serving", "$text-success")]


def servers_in_words(serving: ServerControl | None, seen: Behind) -> list[StatusPart]:
    """What is served and where, with what a click begins or ends."""
    parts, switch = [], "switch_serving"
    own = serving.server if serving is not None else None
    if serving is not None and serving.is_starting:
        parts.append(StatusPart("the server starts", "serving"))
    elif serving is not None and own is not None and own.running:
        count = sum(len(server.models) for server in seen.servers if server.pid == own.pid)
        what = f"serving {plural(count, 'model')}" if count else "serving"
        parts.append(StatusPart(f"{what} at :{serving.port}", "serving"))
        parts.append(StatusPart("■ end", switch, "$text-warning"))
    for server in seen.servers:
        if own is None or server.pid != own.pid:
            place = server.address.removeprefix("http://")
            parts.append(StatusPart(f"{plural(len(server.models), 'model')} at {place}", "serving"))
    for address in seen.silent:
        text = f"{address.removeprefix('http://')} does not answer"
        parts.append(StatusPart(text, "serving", "$text-error"))
    if serving is not None and serving.error is not None and not serving.is_on:
        parts.append(StatusPart("serving failed: e says why", "serving", "$text-error"))
    if not parts and seen.models:
        parts.append(StatusPart("▶ serve", switch, "$foreground-muted"))
    return parts


def chats_in_words(app: App[Any], seen: Behind) -> list[StatusPart]:
    """How many conversations are kept, and whether one is open that is not."""
    found = []
    if seen.conversations:
        text = f"{plural(seen.conversations, 'chat')} kept"
        found.append(StatusPart(text, "conversations", "$foreground-muted"))
    if any(not view.journal.id for view in _widgets(app, "ChatView")):
        found.append(StatusPart("this chat is not kept", "conversations", "$text-warning"))
    return found


def _running(download: Download) -> str:
    left = download.progress.all_seconds_left if download.progress else None
    more = "" if left is None else f" {duration(left)}"
    return f"↓ {short_reference(download.reference)} {percent(share_of(download))}{more}"
