"""A tag of Ollama's registry in the terminal UI: the dialog, and the download by the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.tui.messages import Pull
from gemmahub.tui.screens.downloads import DownloadsScreen
from gemmahub.tui.screens.pull import PullScreen
from gemmahub_ollama.place import MIRROR
from plugins.ollama.tests.fake_registry import RunningRegistry
from plugins.ollama.tests.fake_server import FakeServer, objects
from tests.tui.conftest import MODEL
from tests.tui.test_downloads import a_hub, front, running, until, words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningRegistry]:
    with RunningRegistry() as running_registry:
        monkeypatch.setenv(MIRROR, running_registry.url)
        monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo,ollama")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        layer = running_registry.layer("model", MODEL)
        running_registry.add("library/tiny:q4", running_registry.manifest([layer]))
        yield running_registry


async def test_a_tag_is_fetched_by_the_server(
    registry: RunningRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(MODEL)
    digest = next(iter(registry.blobs))
    step = {"status": "pulling", "digest": digest, "total": size}
    with FakeServer() as fake:
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        fake.answers["/api/pull"] = objects(
            {**step, "completed": size // 2}, {"error": "disk full"}
        )
        async with running(a_hub(tmp_path)) as (_, pilot):
            pilot.app.post_message(Pull("ollama://tiny:q4"))
            dialog = await front(pilot, PullScreen)
            await until(lambda: dialog.plan or dialog.error, "an answer", pilot)
            assert "downloads 4.12 MB" in words(dialog)
            assert "Ollama's store, fetched by the server 0.17.4" in words(dialog)
            await pilot.press("enter")
            screen = await front(pilot, DownloadsScreen)
            (download,) = screen.downloads.all
            await until(lambda: download.state == "failed", "failed", pilot)
            assert "disk full" in str(download.error)
            assert download.here == size // 2
            fake.answers["/api/pull"] = objects({**step, "completed": size}, {"status": "success"})
            await pilot.press("f5")
            await until(lambda: download.state == "done", "done", pilot)
            assert download.reference.startswith("ollama://")
