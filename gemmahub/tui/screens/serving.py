"""Serving: what other programs can ask here, who asks, and keys to begin and to end it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from gemmahub.errors import GemmahubError
from gemmahub.text import format_gib, one_line, plural
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import copy_command
from gemmahub.tui.widgets.flowing import Flowing
from gemmahub.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from gemmahub.service import Library
    from gemmahub.service.serving.known import KnownVisit, ServerStatus, SuppliedModel
    from gemmahub.tui.server_control import ServerControl

_LOOK_SECONDS: Final = 1.0
_STATES: Final = {
    "waiting": ("waits", "$text-warning"),
    "answering": ("is answered", "$text-accent"),
    "done": ("done", "$text-success"),
    "failed": ("failed", "$text-error"),
    "left": ("went away", "$foreground-muted"),
}
_MOST_VISITS: Final = 20


class ServingScreen(Screen[None]):
    """Servers of this user, those that were started elsewhere, too; looked at in a thread."""

    CSS = """
    ServingScreen {
        #title { height: 1; padding: 0 1; background: $panel; text-style: bold; }
        #report { padding: 1 1 0 1; }
        #visits { margin: 1 0 0 0; }
        #told { padding: 0 1; color: $text-error; height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = named(
        "serving",
        Binding("escape,E", "dismiss(None)", "Back", key_display="esc"),
        Binding("space", "switch", "Begin/end"),
        Binding("U", "unload", "Unload all"),
        Binding("f4", "copy", "Copy the address"),
        Binding("y,f9", "copy_command", "Copy the command", show=False),
    )

    @dataclass
    class Looked(Message):
        """What servers say of themselves."""

        servers: Sequence[ServerStatus]

        def can_replace(self, message: Message) -> bool:
            """The newest look is enough."""
            return isinstance(message, ServingScreen.Looked)

    @dataclass
    class Unloaded(Message):
        """What became of unloading."""

        text: str
        failed: bool = False

    def __init__(
        self,
        library: Library,
        serving: ServerControl,
        references: Sequence[str],
        *,
        any_here: bool = True,
    ) -> None:
        """``references`` are the models that a new server would serve, all that are here for
        none; ``any_here``: whether there are any."""
        super().__init__()
        self.any_here = any_here
        self.library, self.serving = library, serving
        self.references = tuple(references)
        self.servers: Sequence[ServerStatus] = ()
        self._looking = False

    def compose(self) -> ComposeResult:
        yield Static("Serving", id="title")
        with VerticalScroll(id="report"):
            yield Flowing(id="models")
            yield Flowing(id="visits")
        yield Static("", id="told", markup=False)
        yield Static("", id="command", markup=False)
        yield StatusLine()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Look again and again."""
        self.set_interval(_LOOK_SECONDS, self.look)
        self.show()
        self.look()

    def look(self) -> None:
        """Ask the servers that run; not while an earlier question waits for one that hangs."""
        if not self._looking:
            self._looking = True
            self._look()

    @work(thread=True, exit_on_error=False, group="look")
    def _look(self) -> None:
        from gemmahub.service.serving.starting import running_servers

        found: Sequence[ServerStatus] = ()
        try:
            found = running_servers(self.library)
        finally:
            self.post_message(self.Looked(found))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        self._looking = False
        self.servers = event.servers
        self.show()

    def show(self) -> None:
        """Draw what is known."""
        servers, serving = self.servers, self.serving
        own = None if serving.server is None else serving.server.pid
        if servers:
            self.query_one("#models", Flowing).show(lambda width: _models(servers, own, width))
        else:
            told = _intention(
                self.references, is_starting=serving.is_starting, any_here=self.any_here
            )
            self.query_one("#models", Flowing).show(lambda _: told)
        visits = [visit for server in servers for visit in server.visits]
        self.query_one("#visits", Flowing).show(lambda width: _visits(visits, width))
        self.query_one("#visits").display = bool(servers)
        error = serving.error
        told_error = "" if error is None else one_line(error.in_full, 500)
        self.query_one("#told", Static).update(told_error)
        self.query_one("#command", Static).update(f"$ {self.command}")

    @property
    def command(self) -> str:
        """What does the same in a shell."""
        from gemmahub.service.serving.starting import serve_command

        if self.serving.server is not None and self.serving.is_on:
            return self.serving.server.command
        if self.servers:
            return "gemmahub ps"
        return serve_command(self.references, self.serving.port)

    def action_switch(self) -> None:
        """Begin to serve, or end it."""
        if self.serving.is_on:
            self.notify("ending the server", timeout=2)
            self._end()
        elif self.servers:
            self.notify(
                "this server was started in another terminal: Ctrl+C ends it there", markup=False
            )
        elif not self.any_here:
            self.notify("there is no model to serve yet: esc, then Enter on one gets it")
        else:
            self.serving.start(self.references)
            self.show()

    @work(thread=True, group="end")
    def _end(self) -> None:
        self.serving.stop()
        self.app.call_from_thread(self.look)

    def action_unload(self) -> None:
        """Give back the memory of all that is loaded."""
        names = [model.name for server in self.servers for model in server.models if model.loaded]
        if names:
            self.notify("answers in progress finish first", timeout=3)
            self._unload(names)
        else:
            self.notify("nothing is loaded")

    @work(thread=True, exclusive=True, group="unload")
    def _unload(self, names: Sequence[str]) -> None:
        from gemmahub.service.stopping import stop

        try:
            for name in names:
                stop(self.library, name)
        except GemmahubError as error:
            self.post_message(self.Unloaded(error.in_full, failed=True))
            return
        text = f"unloaded {plural(len(names), 'model')}: the next request loads it again"
        self.post_message(self.Unloaded(text))

    @on(Unloaded)
    def _unloaded(self, event: Unloaded) -> None:
        self.notify(event.text, severity="error" if event.failed else "information", markup=False)
        self.look()

    def action_copy(self) -> None:
        """What a client of OpenAI's needs."""
        if self.servers:
            copy_command(self, f"{self.servers[0].address}/v1")
        else:
            self.notify("Nothing is served: Space begins.", markup=False)

    def action_copy_command(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)


def _intention(references: Sequence[str], *, is_starting: bool, any_here: bool) -> Content:
    """What would be served, or will be soon."""
    names = ", ".join(one_line(name, 100) for name in references) or "all models that are here"
    if is_starting:
        return Content.styled(f"beginning to serve {names} …", "$text-accent")
    if not any_here:
        return Content(
            "Nothing is served, and no model is on this machine yet. What is served here can be "
            "asked by editors, coding agents and other programs of this machine, as OpenAI and "
            "Anthropic can.\n\nesc leads to the library, where Enter on a model gets it."
        )
    return Content(
        f"Nothing is served. Space serves {names} to editors, coding agents and other programs of "
        "this machine, as OpenAI and Anthropic do, until the server is ended or gemmahub is left."
    )


def _models(servers: Sequence[ServerStatus], own: int | None, width: int) -> Content:
    lines = []
    for server in servers:
        where = "" if server.pid == own else "  started elsewhere"
        lines += [
            Content.assemble((server.address, "bold $text-primary"), (where, "$foreground-muted")),
            Content.styled(
                f"OpenAI: base URL {server.address}/v1 · Anthropic: {server.address} · any key, "
                "or the one that the server was given",
                "$foreground-muted",
            ),
        ]
        for model in server.models:
            lines += _model(model, width)
    return Content("\n").join(lines)


def _model(model: SuppliedModel, width: int) -> list[Content]:
    state, style = (
        ("loaded", "$text-success") if model.loaded else ("not loaded", "$foreground-muted")
    )
    state += " · pinned" * model.pinned
    if model.answers:
        state, style = f"{state} · {plural(model.answers, 'answer')}", "$text-accent"
    name = one_line(model.name, max(20, width - len(state) - 4))
    gap = max(1, width - len(name) - len(state) - 2)
    facts = f"{model.precision} · {model.context:,} tokens · {format_gib(model.memory_bytes)}"
    return [
        Content.assemble("  ", (name, "bold"), " " * gap, (state, style)),
        Content.styled(f"    {facts}", "$foreground-muted"),
    ]


def _visits(visits: Sequence[KnownVisit], width: int) -> Content:
    head = "" if visits else "  nobody yet"
    lines = [Content.assemble(("Who asks", "bold $text-primary"), (head, "$foreground-muted"))]
    for visit in visits[:_MOST_VISITS]:
        word, style = _STATES.get(visit.state, (visit.state, ""))
        when = f"{visit.began.astimezone():%H:%M:%S}" if visit.began else " " * 8
        what = visit.path.removeprefix("/v1/")
        took = f"{visit.seconds:.1f} s"
        tail = f" {word} {took}"
        told = f"{when}  {one_line(visit.client, 20):20}  {one_line(what, 16):16}  {visit.model}"
        told = told[: max(20, width - len(tail))].ljust(width - len(tail))
        lines.append(Content.assemble(told, (tail, style)))
        if visit.said:
            lines.append(Content.styled(f"    {one_line(visit.said, width * 2)}", "$text-error"))
    return Content("\n").join(lines)
