"""A source with a scheme of its own, from a plugin that the project has never seen."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmahub.catalog.header import write_catalog_header
from gemmahub.catalog.loader import load_catalog
from gemmahub.cli import output
from gemmahub.engines.contract import Artifact
from gemmahub.engines.guarded_store import GuardedStore
from gemmahub.engines.manager import load_plugins
from gemmahub.registry.variants import Models
from gemmahub.service import Library
from gemmahub.testing.hub.models import small_model
from gemmahub.tui.messages import Pull
from gemmahub.tui.screens.downloads import DownloadsScreen
from gemmahub.tui.screens.pull import PullScreen
from gemmahub.tui.screens.search import SearchScreen
from tests.stranger import gemmahub_demo
from tests.tui.test_downloads import a_hub, front, running, until, words

Command = Any
NAME = "demo://tiny"
NAMED = "gemma-3-270m-it"
FULL = "demo://tiny/first"


@pytest.fixture(autouse=True)
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plugin is installed, with one model in its source; the folder of what is pulled."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "tiny.gguf").write_bytes(small_model() + bytes(2**20))
    monkeypatch.setenv("DEMO_FOLDER", str(tmp_path))
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo,llamacpp")
    install(monkeypatch)
    return tmp_path / "here"


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = load_plugins()
    manager.add("demo", lambda: gemmahub_demo, "gemmahub-demo", "1")
    monkeypatch.setattr(Library, "plugins_manager", manager)


def test_the_plugin_is_listed_as_ok(command: Command) -> None:
    rows = {row["name"]: row for row in json.loads(command("plugins", "--json").out)["plugins"]}
    assert rows["demo"]["state"] == "ok"


@pytest.mark.parametrize("reference", [NAME, FULL])
def test_its_model_is_inspected_from_the_header(command: Command, reference: str) -> None:
    found = json.loads(command("inspect", reference, "--json").out)
    assert found["reference"] == FULL
    assert found["remote"] == f"{FULL} at 111111111111"
    assert found["installed"] is False
    assert found["precision"]["bits_per_weight"] > 4


def test_its_model_is_planned(command: Command, tmp_path: Path) -> None:
    catalog = load_catalog()
    model, variant = catalog.model(NAMED), catalog.variant(NAMED, "q4_0-qat")
    assert model is not None
    assert variant is not None
    write_catalog_header(model, variant, tmp_path / "there" / "tiny.gguf")
    result = command("plan", NAME, "--context", "512", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["reference"] == FULL


def test_its_model_is_compared(command: Command, tmp_path: Path) -> None:
    result = command("compare", NAME, tmp_path / "there" / "tiny.gguf", "--json")
    assert result.code == 0, result.err
    assert FULL in result.out


def test_an_engine_plans_with_the_header_from_its_source(tmp_path: Path) -> None:
    from gemmahub.formats.gguf import read_gguf
    from gemmahub.formats.source import LocalFile
    from gemmahub.service.remote import look

    fetch = look(Library(), NAME).fetch_header
    assert fetch is not None
    path, there = fetch(tmp_path / "header"), tmp_path / "there" / "tiny.gguf"
    assert path.stat().st_size == there.stat().st_size
    with LocalFile(path) as written, LocalFile(there) as whole:
        assert read_gguf(written).tensors == read_gguf(whole).tensors
        end = read_gguf(whole).data_offset
        assert not any(written.read(end, written.size - end))


def test_its_model_is_pulled_and_run(command: Command, demo: Path) -> None:
    missing = command("run", NAME, "hello there", "--backend", "echo")
    assert missing.code == 3
    assert f"gemmahub pull {FULL} looks for it in the demo folder" in missing.err
    plan = json.loads(command("pull", NAME, "--dry-run", "--json").out)
    assert (plan["reference"], plan["destination"]) == (FULL, f"copied to {demo}")
    pulled = command("pull", NAME)
    assert pulled.code == 0, pulled.err
    assert pulled.out == f"{demo / 'tiny.gguf'}\n"
    assert f"gemmahub run {FULL}" in pulled.err
    for name in (NAME, FULL, "tiny"):
        result = command("run", name, "hello there", "--backend", "echo")
        assert result.code == 0, result.err
        assert result.out.endswith("hello there\n")


def test_run_offers_to_pull_it(
    command: Command, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    result = command("run", NAME, "hello there", "--backend", "echo")
    assert result.code == 0, result.err
    assert result.out.endswith("hello there\n")
    assert (demo / "tiny.gguf").exists()


def test_it_is_searched_also_when_hugging_face_cannot_be(command: Command) -> None:
    result = command("search", "tiny", "--json")
    assert result.code == 0, result.err
    (found,) = json.loads(result.out)["repositories"]
    assert found["name"] == "demo/models"
    assert [file["reference"] for file in found["files"]] == [FULL]
    assert "HF_HUB_OFFLINE" in result.err
    assert command("search", "nothing of that name").code == 0


def test_what_it_does_not_have_is_not_found(command: Command) -> None:
    result = command("inspect", "demo://none")
    assert result.code == 3
    assert "demo has no demo://none/first" in result.err
    assert command("pull", "demo://none").code == 3


@pytest.mark.parametrize("line", ["inspect", "plan", "pull", "run", "compare"])
def test_a_scheme_that_nobody_has_is_a_wrong_use(command: Command, line: str) -> None:
    more = {"run": ["hello"], "compare": [NAME]}.get(line, [])
    result = command(line, "other://tiny", *more)
    assert result.code == 2
    assert "unknown scheme 'other'" in result.err


def test_a_store_takes_the_place_of_ours_for_a_tool(
    monkeypatch: pytest.MonkeyPatch, demo: Path
) -> None:
    name = "llama.cpp"
    monkeypatch.delenv("GEMMAHUB_STORES", raising=False)
    before = [store.name for store in Library().stores]
    assert name in before
    monkeypatch.setattr(gemmahub_demo.DemoStore, "name", name)
    install(monkeypatch)
    stores = {store.name: store for store in Library().stores}
    store = stores[name]
    assert isinstance(store, GuardedStore)
    assert isinstance(store.store, gemmahub_demo.DemoStore)
    assert sorted(stores) == sorted(set(before) - {"demo"})
    monkeypatch.setattr(gemmahub_demo.DemoStore, "name", "huggingface")  # we pull into that one
    install(monkeypatch)
    assert [store.name for store in Library().stores].count("huggingface") == 2


@pytest.mark.parametrize(
    ("reference", "first"),
    [
        ("tiny", FULL),
        (NAME, FULL),
        ("pub/gemma@q4_0", "pub/gemma@q4_0"),
        ("hf://pub/gemma/g-Q4_0.gguf", "pub/gemma@q4_0"),
        ("hf://user/gemma/g.gguf", "hf://user/gemma/g.gguf"),
    ],
)
def test_of_several_places_the_one_that_was_named_is_run(reference: str, first: str) -> None:
    registry = Library().registry
    variant = registry.known(f"{NAMED}:q4_0-qat")
    places = (
        Artifact(
            "gguf", Path("/m/g-Q4_0.gguf"), repository="pub/gemma", reference="pub/gemma@q4_0"
        ),
        Artifact(
            "gguf", Path("/m/g.gguf"), repository="user/gemma", reference="hf://user/gemma/g.gguf"
        ),
        Artifact("gguf", Path("x.gguf"), reference=FULL),
    )
    here = replace(variant, reference="/m/g-Q4_0.gguf", artifacts=places)
    registry._installed = Models((here,))
    assert registry.resolve(reference).artifacts[0].reference == first


async def test_its_model_is_found_and_fetched_in_the_ui(tmp_path: Path, demo: Path) -> None:
    async with running(a_hub(tmp_path)) as (app, pilot):
        search = SearchScreen(app.library)
        app.push_screen(search)
        await front(pilot, SearchScreen)
        await pilot.press(*NAME)
        assert search.command == f"gemmahub pull {NAME}"
        app.post_message(Pull(NAME))
        dialog = await front(pilot, PullScreen)
        await until(lambda: dialog.plan or dialog.error, "an answer", pilot)
        assert f"copied to {demo}" in words(dialog)
        await pilot.press("enter")
        screen = await front(pilot, DownloadsScreen)
        (download,) = screen.downloads.all
        await until(lambda: download.state == "done", "done", pilot)
        assert download.reference == FULL
        assert (demo / "tiny.gguf").exists()
