"""The installed program in a real terminal, that of tmux: from an empty home to a chat and back."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.testing.hub.content import Served
from gemmahub.testing.hub.server import HubServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM: Final = Path(sys.executable).with_name("gemmahub")
PATIENCE: Final = 60.0  # seconds until something has not come to pass
MODEL: Final = "gemma-3-270m:q4_k_m"

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """A tmux server of its own with one window, in which a command runs."""

    def __init__(self, command: str, size: tuple[int, int], environment: dict[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="gemmahub-"))  # a socket's path must be short
        self._environment = environment
        columns, lines = size
        self._tmux(
            "-f", os.devnull, "new-session", "-d", "-x", str(columns), "-y", str(lines), command
        )  # fmt: skip

    def press(self, *keys: str) -> None:
        """Keys by the names that tmux has for them."""
        self._tmux("send-keys", *keys)

    def write(self, text: str) -> None:
        """Text as it is."""
        self._tmux("send-keys", "-l", text)

    def resize(self, columns: int, lines: int) -> None:
        """Another size of the window."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

    @property
    def screen(self) -> str:
        """What stands there."""
        return self._tmux("capture-pane", "-p")

    @property
    def cursor(self) -> tuple[int, str]:
        """The line that the cursor is in: its number from above, and what stands there."""
        number = int(self._tmux("display-message", "-p", "#{cursor_y}"))
        return number, self.screen.split("\n")[number]

    def wait(self, *texts: str, gone: str = "") -> str:
        """The screen, once all of that stands there, and ``gone`` no longer."""
        missing = list(texts)

        def there(screen: str) -> bool:
            missing[:] = [text for text in texts if text not in screen]
            return not missing and not (gone and gone in screen)

        return self.until(there, lambda: f"missing {missing}, gone {gone!r}")

    def until(self, done: Callable[[str], bool], what: Callable[[], str]) -> str:
        """The screen, once it is as it should be."""
        deadline = time.monotonic() + PATIENCE
        while not done(screen := self.screen):
            assert time.monotonic() < deadline, f"{what()}; the screen:\n{screen}"
            time.sleep(0.05)
        return screen

    def close(self) -> None:
        """End what runs in it."""
        self._tmux("kill-server", check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        return subprocess.run(
            ["tmux", "-u", "-S", str(self._folder / "s"), *arguments],
            env=self._environment, check=check, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        ).stdout  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty home; a model that was fetched into it is not kept."""
    folder = tmp_path / "home"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def hub(real_model: Path) -> Iterator[HubServer]:
    """A hub that has the real Gemma 3 270M where the catalogue says."""
    name, _, precision = MODEL.partition(":")
    variant = load_catalog().variant(name, precision)
    assert variant is not None
    with HubServer() as server:
        served = Served.of(variant.file, real_model, variant.sha256)
        server.add(variant.repository, {variant.file: served})
        yield server


@contextmanager
def gemmahub(home: Path, hub: HubServer, size: tuple[int, int] = (80, 24)) -> Iterator[Terminal]:
    """The program with nothing in its environment but that home and that hub."""
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "GGML_NO_BACKTRACE": "1",
        "GEMMAHUB_PLUGINS": "llamacpp",  # another has this model in a package
        **hub.environment(home / ".cache/huggingface"),
    }
    command = f"{shlex.quote(str(PROGRAM))}; echo left with $?; exec sleep 1000"
    terminal = Terminal(command, size, environment)
    try:
        yield terminal
    finally:
        terminal.close()


def test_from_an_empty_home_to_a_chat_and_back(home: Path, hub: HubServer) -> None:
    with gemmahub(home, hub) as terminal:
        terminal.wait("gemmahub", "llama.cpp ✓", "No model is here yet", "$ gemmahub pull")
        choose(terminal)
        terminal.press("Enter")
        terminal.wait("Download a model", MODEL, "downloads 253 MB", f"$ gemmahub pull {MODEL}")
        terminal.press("Enter")
        chat_with(terminal)
        terminal.press("Escape")
        terminal.wait("Esc once more leaves the chat")
        terminal.press("Escape")
        terminal.wait("1 variant", f"● {MODEL}", f"$ gemmahub run {MODEL}")
        leave(terminal)
    with gemmahub(home, hub) as terminal:
        terminal.wait(f"● {MODEL}", f"$ gemmahub run {MODEL}", gone="No model is here yet")
        leave(terminal)


def choose(terminal: Terminal) -> None:
    """Filter the library for the model."""
    terminal.press("/")
    terminal.write(MODEL)
    terminal.wait("1 variant")
    terminal.press("Enter")
    terminal.wait(f"$ gemmahub pull {MODEL}")


def chat_with(terminal: Terminal) -> None:
    """Wait for the chat that opens by itself, and ask for what this model is sure of."""
    terminal.wait("Gemma 3 270M · Q4_K_M", "llama.cpp", "context 0 of")
    terminal.press("C-s")
    terminal.wait("System prompt", "Temperature")
    fill(terminal, "Temperature", "0")
    fill(terminal, "Longest answer", "24")
    terminal.press("C-s")
    terminal.wait("Begin a text", gone="Temperature")
    terminal.write("1, 2, 3, 4, 5,")
    terminal.press("Enter")
    terminal.wait("1, 2, 3, 4, 5,", "6, 7, 8, 9, 10", "tokens/s · first token after")


def fill(terminal: Terminal, label: str, text: str) -> None:
    """Go to a field and put something else into it."""
    while label not in terminal.cursor[1]:
        press_and_wait(terminal, "Tab", lambda: terminal.cursor)
    terminal.write(text)

    def stands(screen: str) -> bool:
        """By its line: the cursor may be drawn a moment before the dialog scrolls."""
        lines = (line for line in screen.split("\n") if label in line)
        return any(line.rstrip(" │").endswith(f" {text}") for line in lines)

    terminal.until(stands, lambda: label)


def press_and_wait(terminal: Terminal, key: str, what: Callable[[], object]) -> None:
    """Press a key, and wait until something is another than before."""
    before = what()
    terminal.press(key)
    terminal.until(lambda _: what() != before, lambda: f"{key} changes nothing")


def leave(terminal: Terminal) -> None:
    """The program gives the screen back and ends well."""
    terminal.press("q")
    terminal.wait("left with 0", gone="gemmahub")


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
def test_another_size_and_back_keeps_the_place(
    home: Path, hub: HubServer, size: tuple[int, int]
) -> None:
    with gemmahub(home, hub, size) as terminal:
        terminal.wait("gemmahub", "model", "precision", "tok/s", "? Keys", "$ gemmahub pull")
        for _ in range(9):
            press_and_wait(terminal, "j", lambda: command(terminal.screen))
        chosen = command(terminal.screen)
        terminal.resize(20, 5)
        terminal.until(lambda screen: len(screen.splitlines()) <= 5, lambda: "not small")
        terminal.wait("gemma", gone="precision")
        terminal.resize(*size)
        screen = terminal.wait("gemmahub", "precision", "tok/s", "? Keys", "$ gemmahub pull")
        assert command(screen) == chosen
        leave(terminal)


def command(screen: str) -> str:
    """The command that the library shows for the model under the cursor."""
    shown = (line.strip() for line in screen.splitlines())
    return next((line for line in shown if line.startswith("$ ")), "")
