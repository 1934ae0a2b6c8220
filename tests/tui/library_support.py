"""A small installation on a machine that is always the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.catalog.header import header_metadata
from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.config import Config
from gemmahub.hardware.simulate import preset_machine
from gemmahub.service import Library
from gemmahub.testing.gguf_writer import write_gguf
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.widgets.model_table import ModelTable

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from gemmahub.hardware.records import Machine
    from gemmahub.tui.app import GemmahubApp

HERE = "gemma-3-1b-it:q4_0-qat"


class SteadyHub(Library):
    """This installation on a machine that does not change while it is looked at."""

    machine: Machine = replace(preset_machine("rtx-3090"), simulated=False)
    why_offline = ""  # HF_HUB_OFFLINE is the tests' own

    def hardware(self, *, measure: bool = False) -> Machine:
        return self.machine

    def engine_devices(self, machine: Machine) -> None:
        """Its engine does not say what it can use, whatever this machine's own does."""


def steady_hub(folder: Path) -> SteadyHub:
    """A hub whose models, settings and remembered values lie below ``folder``."""
    models = folder / "models"
    models.mkdir(exist_ok=True)
    config = Config(
        cache=folder / "cache", data=folder / "data", folders=(models,), stores=frozenset()
    )
    state = folder / "data" / "tui.json"
    if not state.exists():  # most tests go from variant to variant
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text('{"folded": false}')
    return SteadyHub(config=config)


def install(folder: Path, reference: str, name: str = "", *, title: str = "Gemma") -> Path:
    """A header-only file with the shapes of a variant of the catalogue, of its full length.

    Without ``name`` it is called as the catalogue has it, so it is known as that variant.
    """
    catalog = load_catalog()
    model_name, _, variant_name = reference.partition(":")
    model, variant = catalog.model(model_name), catalog.variant(model_name, variant_name)
    assert model is not None
    assert variant is not None
    assert variant.types is not None
    tensors = [
        (t.name, t.shape, t.type) for t in variant_tensors(model.architecture, variant.types)
    ]
    metadata = header_metadata(model.architecture) | {
        "general.name": title,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [f"word{n}" for n in range(8)],
    }
    path = folder / "models" / (name or variant.file)
    path.parent.mkdir(exist_ok=True)
    length = write_gguf(path, metadata, tensors)
    if not name and variant.bytes and variant.bytes > length:
        with path.open("r+b") as file:
            file.truncate(variant.bytes)
    return path


async def loaded(pilot: Pilot[None]) -> LibraryScreen:
    """The library screen, once its table shows what was read."""
    app: GemmahubApp = pilot.app  # type: ignore[assignment]
    while not isinstance(app.screen, LibraryScreen) or app.screen.overview is None:
        await pilot.pause(0.01)
    screen = app.screen
    await app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.pause()
    return screen


def table(screen: LibraryScreen) -> ModelTable:
    return screen.query_one(ModelTable)


def under_cursor(screen: LibraryScreen) -> str:
    """The reference of the model under the cursor."""
    item = table(screen).item
    return item.reference if item else ""


def drawn(screen: LibraryScreen) -> str:
    """All that the screen shows, as text."""
    width, height = screen.app.size
    lines = screen._compositor.render_strips()
    text = "\n".join("".join(segment.text for segment in line) for line in lines)
    assert len(lines) <= height
    assert width
    return text
