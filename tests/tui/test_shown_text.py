"""Every screen, full of what no terminal may see: none of it is in any line that is drawn."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.content import Content
from textual.screen import Screen
from textual.widgets import (
    Button,
    DataTable,
    Input,
    Label,
    Markdown,
    OptionList,
    Select,
    Static,
    TextArea,
)

from gemmahub.config import Config
from gemmahub.conversations import Described
from gemmahub.engines.contract import CheckResult, Sampling, Settings
from gemmahub.errors import GemmahubError
from gemmahub.service import Library, Requirements
from gemmahub.service.plugin_rows import BackendRow, PluginRow
from gemmahub.service.progress import Progress
from gemmahub.service.serving.known import KnownServer, made_known
from gemmahub.service.size_quality import MEASURES, SizedVariant
from gemmahub.text.streams import guarded
from gemmahub.tui import screens
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.downloads import Download
from gemmahub.tui.harmless import HarmlessLines
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.screens.chat_options import ChatOptions, ChatOptionsScreen
from gemmahub.tui.screens.compare import CompareScreen
from gemmahub.tui.screens.conversation_list import ConversationList
from gemmahub.tui.screens.dialogs import ConfirmDialog, LineDialog, TextDialog
from gemmahub.tui.screens.downloads import DownloadsScreen
from gemmahub.tui.screens.duel import DuelScreen
from gemmahub.tui.screens.explain import ExplainScreen
from gemmahub.tui.screens.keys import KeysScreen
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.screens.other_model import OtherModelScreen
from gemmahub.tui.screens.plugins import PluginsScreen
from gemmahub.tui.screens.pull import PullScreen
from gemmahub.tui.screens.remove import RemoveScreen
from gemmahub.tui.screens.search import SearchScreen
from gemmahub.tui.screens.serving import ServingScreen
from gemmahub.tui.screens.setup_offer import SetupOffer
from gemmahub.tui.screens.sizes import SizesScreen
from gemmahub.tui.screens.what_if import WhatIfScreen
from gemmahub.tui.server_control import ServerControl
from gemmahub.tui.widgets.detail import DetailPane
from tests.hostile_text import BROKEN_TEXT, LINES, MARK, NAMES, TEXT, World, build, raw
from tests.tui.library_support import HERE, SteadyHub, install, loaded, steady_hub
from tests.tui.ways import still, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from textual.pilot import Pilot

    from gemmahub.hardware.records import Machine
    from gemmahub.service.overview import ModelRow

SIZE = (120, 40)


class HostileHub(SteadyHub):
    """An installation whose machine has a strange name, too."""

    machine: Machine = replace(SteadyHub.machine, name=TEXT)


def strange_plugins(_: Library) -> list[PluginRow]:
    backend = BackendRow(TEXT, (TEXT,), (TEXT,), True, True, TEXT, TEXT, TEXT)
    return [PluginRow(TEXT, TEXT, TEXT, "ok", (TEXT, LINES), (TEXT,), (backend,))]


def strange_checks(_: Library) -> list[CheckResult]:
    return [CheckResult(BROKEN_TEXT, state, TEXT, TEXT) for state in ("ok", "failed")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture
def hub(world: World, monkeypatch: pytest.MonkeyPatch) -> HostileHub:
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo,ollama")
    monkeypatch.setattr("gemmahub.service.plugin_rows.rows", strange_plugins)
    backends = [backend for row in strange_plugins(Library()) for backend in row.backends]
    monkeypatch.setattr("gemmahub.service.plugin_rows.backend_rows", lambda _: backends)
    monkeypatch.setattr("gemmahub.service.doctor.checks", strange_checks)
    return HostileHub(
        config=Config(
            cache=world.folder / "cache",
            data=world.data,
            folders=(world.folder / "models",),
            stores=frozenset(("ollama", "huggingface")),
            backend="echo",
        )
    )


def lines(app: GemmahubApp) -> list[str]:
    """What is drawn, as the terminal gets it."""
    strips = app.screen._compositor.render_strips()
    assert all(not (s.style and s.style.link) for strip in strips for s in strip)
    return ["".join(segment.text for segment in strip) for strip in strips]


class Visit:
    """Looks at screens, and remembers which."""

    def __init__(self, pilot: Pilot[None], world: World) -> None:
        self.pilot = pilot
        self.app: GemmahubApp = pilot.app  # type: ignore[assignment]
        self.world = world
        self.seen: set[type[Screen[Any]]] = set()

    async def look(self, *, mark: bool = True) -> None:
        """At the screen in front, once nothing moves."""
        await still(self.pilot)
        self.seen.add(type(self.app.screen))
        drawn = lines(self.app)
        text = "\n".join(drawn)
        name = type(self.app.screen).__name__
        assert not raw(text), name
        assert not any("\t" in line or "\n" in line for line in drawn), name
        assert not mark or MARK in text or MARK.casefold() in text.casefold(), name

    async def at(self, screen: Screen[Any], ready: Callable[[], object] | None = None) -> None:
        """Open a screen, look, and come back."""
        self.app.push_screen(screen)
        await until(self.pilot, lambda: self.app.screen is screen, "a screen")
        if ready is not None:
            await until(self.pilot, ready, type(screen).__name__)
        await self.look(mark=not isinstance(screen, KeysScreen))
        self.app.pop_screen()
        await until(self.pilot, lambda: self.app.screen is not screen, "the screen before")


@pytest.fixture
async def visit(hub: HostileHub, world: World) -> AsyncIterator[Visit]:
    async with GemmahubApp(hub).run_test(size=SIZE, notifications=True) as pilot:
        await loaded(pilot)
        yield Visit(pilot, world)


def all_screens() -> set[type[Screen[Any]]]:
    """Those that can be opened."""
    found = set()
    for module in pkgutil.iter_modules(screens.__path__, f"{screens.__name__}."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(kind, Screen) and kind.__module__ == module.name:
                found.add(kind)
    return {kind for kind in found if not any(kind in other.__bases__ for other in found)} - {
        kind for kind in found if kind.__name__ == "FrontScreen"
    }


class HostileServer(BaseHTTPRequestHandler):
    """Says of itself as a server what no terminal may see."""

    def do_GET(self) -> None:
        texts = dict.fromkeys(
            ("name", "summary", "client", "path", "model", "state", "said", "began"), BROKEN_TEXT
        )
        numbers = {"memory_bytes": -1, "context": 10**30, "answers": "5", "seconds": "x"}
        rows = [texts | numbers, TEXT, None]
        body = json.dumps({"models": rows, "visits": rows}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


async def serving(visit: Visit) -> None:
    """Before a server is there, and with a hostile one."""
    library = visit.app.library
    await visit.at(ServingScreen(library, ServerControl(library), (TEXT, LINES)))
    with ThreadingHTTPServer(("127.0.0.1", 0), HostileServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with made_known(library.config.data, KnownServer(address, "key"), server.server_port):
            screen = ServingScreen(library, ServerControl(library), (TEXT,))
            await visit.at(screen, lambda: screen.servers)
        server.shutdown()


def library_rows(app: GemmahubApp) -> tuple[ModelRow, ...]:
    """Those of the library, which is in front."""
    screen = app.screen
    assert isinstance(screen, LibraryScreen)
    assert screen.overview is not None
    return screen.overview.rows


async def test_no_screen_draws_a_raw_control_character(visit: Visit) -> None:
    world, app, pilot = visit.world, visit.app, visit.pilot
    await visit.look()
    app.screen.query_one(Input).value = MARK.lower()
    for _ in range(5):
        await pilot.press("down")
        await visit.look()
    await pilot.press("g")
    await visit.look()
    evil = str(world.models[0])
    await visit.at(PluginsScreen(app.library), lambda: MARK in "\n".join(lines(app)))
    await visit.at(KeysScreen(app.screen))
    row = next(row for row in library_rows(app) if row.variant.reference == evil)
    await visit.at(ExplainScreen(row, 1, evil))
    compared = CompareScreen(app.library, (evil, str(world.strange)), Requirements())
    await visit.at(compared, lambda: compared.comparison)
    removed = RemoveScreen(app.library, evil)
    await visit.at(removed, lambda: "checking what it shares" not in "\n".join(lines(app)))
    for reference in (f"no/{NAMES[0]}", TEXT, LINES):
        asked = PullScreen(app.library, reference)
        await visit.at(asked, lambda asked=asked: asked.plan or asked.error)  # type: ignore[misc]
    await visit.at(typed(WhatIfScreen()))
    await visit.at(typed(SearchScreen(app.library)))
    for text in (TEXT, LINES):
        await visit.at(ConfirmDialog(text, text, text))
        await visit.at(LineDialog(text, text, lambda _: BROKEN_TEXT, lambda t: t))
        await visit.at(TextDialog(text, text))
    await visit.at(ChatOptionsScreen(options(TEXT)))
    await visit.at(ConversationList(app.library))
    held = Described(TEXT, model=TEXT, precision=TEXT, against=(TEXT,))
    await visit.at(OtherModelScreen(app.library, held, TEXT))
    await visit.at(SetupOffer(in_terminal=True))
    sizes = [SizedVariant(TEXT, size, True, {m.name: 1.0 for m in MEASURES}) for size in (5, 6)]
    await visit.at(SizesScreen(sizes, TEXT))
    app.downloads.all += downloads(app)
    await visit.at(DownloadsScreen(app.library))
    await serving(visit)
    await chat(visit)
    await duel(visit)
    assert visit.seen == all_screens()


def typed(screen: Screen[Any]) -> Screen[Any]:
    """With a hostile text in its line."""

    def fill() -> None:
        screen.query_one(Input).value = f"{MARK}{TEXT}"

    screen.call_later(fill)
    return screen


def options(text: str) -> ChatOptions:
    return ChatOptions(text, Sampling(), Settings())


def downloads(app: GemmahubApp) -> list[Download]:
    """One that is under way, and one that failed, with hostile names."""
    row = app.screen.query_one(DetailPane).row
    assert row is not None
    files = (SimpleNamespace(name=TEXT, size=8), SimpleNamespace(name=LINES, size=8))
    plan: Any = SimpleNamespace(
        variant=replace(row.variant, reference=TEXT, name=LINES),
        files=files,
        size_bytes=16,
        fetch_bytes=16,
    )
    going, failed = Download(plan), Download(plan)
    going.state, failed.state = "running", "failed"
    going.progress = Progress(
        file=TEXT, phase="fetching", done_bytes=2, size=8, all_done_bytes=2, all_bytes=16,
        files_done=0, files=2,
    )  # fmt: skip
    failed.error = GemmahubError(BROKEN_TEXT, BROKEN_TEXT)
    return [going, failed]


async def chat(visit: Visit) -> None:
    """A conversation with hostile turns, and one more."""
    app = visit.app
    screen = ChatScreen(app.library, str(visit.world.good), conversation="20260101-000000-aaaaaaaa")
    app.push_screen(screen)
    await until(visit.pilot, lambda: screen.view.chat, "a loaded model")
    await visit.look()
    app.notify(TEXT, title=TEXT, markup=False)
    app.notify(LINES, title=LINES, severity="error", markup=False)
    await visit.pilot.pause()
    assert not raw("\n".join(lines(app)))
    await visit.look()
    app.pop_screen()


async def duel(visit: Visit) -> None:
    """Two sides with hostile names."""
    screen = DuelScreen(visit.app.library, [str(path) for path in visit.world.models[:2]])
    await visit.at(screen, lambda: screen.at_once is not None)


async def test_widgets_that_know_nothing_of_it_are_stripped_too(hub: HostileHub) -> None:
    async with GemmahubApp(hub).run_test(size=(120, 100)) as pilot:
        await loaded(pilot)
        table: DataTable[str] = DataTable()
        table.add_column(TEXT)
        table.add_row(TEXT)
        button, box = Button(Content(TEXT)), Static(Content(LINES))
        box.border_title = box.border_subtitle = Content(TEXT)
        box.styles.border = ("round", "red")
        widgets = [
            Static(Content(TEXT)), Static(BROKEN_TEXT, markup=False), Label(Content(TEXT)),
            OptionList(Content(TEXT), Content(LINES)), Input(TEXT, placeholder=TEXT),
            Input(placeholder=TEXT), TextArea(TEXT), Markdown(f"# {TEXT}\n\n- [{MARK}](x{TEXT})"),
            Select([(TEXT, 1)], prompt=TEXT), button, box, table,
        ]  # fmt: skip
        screen: Screen[None] = Screen()
        pilot.app.push_screen(screen)
        await pilot.pause()
        await screen.mount_all(widgets)
        button.tooltip = TEXT
        await pilot.hover(Button)
        await pilot.pause(0.4)
        drawn = lines(pilot.app)  # type: ignore[arg-type]
        assert "\n".join(drawn).count(MARK) >= len(widgets)
        assert not raw("\n".join(drawn))
        svg = pilot.app.export_screenshot(title=MARK)
        assert not raw(svg)


def test_a_line_keeps_its_width() -> None:
    guard, ground = HarmlessLines(), Color(0, 0, 0)
    style = Style(bold=True, link=f"https://x/{TEXT}")
    segments = [
        Segment(TEXT, style), Segment("a\u200db\xadc\ue000d"), Segment(LINES), Segment("a\tb"),
        Segment("plain", Style(bold=True)), Segment("👩\u200d💻"), Segment("A\u200d日\u200d"),
    ]  # fmt: skip
    done = guard.apply(segments, ground)
    assert not [text for text, _, _ in done if set(raw(text)) - {"U+200D"}]
    assert [cell_len(text) for text, _, _ in done] == [cell_len(text) for text, _, _ in segments]
    assert not any("\n" in text or "\t" in text for text, _, _ in done)
    assert done[4] is segments[4]
    assert done[5] == segments[5]
    assert done[0].style == Style(bold=True)
    plain = [Segment("all of it"), Segment("plain", Style(color="red"))]
    assert guard.apply(plain, ground) is plain


async def test_a_name_with_line_breaks_takes_one_row(tmp_path: Path) -> None:
    hub = steady_hub(tmp_path)
    install(tmp_path, HERE, f"{LINES}.gguf", title=LINES)
    install(tmp_path, HERE, "other.gguf")
    async with GemmahubApp(hub).run_test(size=(120, 40)) as pilot:
        await loaded(pilot)
        drawn = lines(pilot.app)  # type: ignore[arg-type]
        assert not [line for line in drawn if line.lstrip("│ ●").startswith("forged row")]
        assert any("Seen forged row another" in line for line in drawn)


def test_what_is_said_after_the_end_is_stripped(
    hub: HostileHub, capsys: pytest.CaptureFixture[str]
) -> None:
    app = GemmahubApp(hub)
    plan: Any = SimpleNamespace(
        variant=SimpleNamespace(reference=f"{MARK}{TEXT}"),
        files=(),
        size_bytes=1,
        fetch_bytes=1,
    )
    app.downloads.all.append(Download(plan))
    with guarded():
        app.exit()
        app._print_error_renderables()
    said = capsys.readouterr()
    assert MARK in said.out + said.err
    assert not raw(said.out + said.err)
