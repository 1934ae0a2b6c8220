"""Kaggle in the terminal UI: the dialog, a download that fails and is continued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.tui.messages import Pull
from gemmahub.tui.screens.downloads import DownloadsScreen
from gemmahub.tui.screens.pull import PullScreen
from plugins.kaggle.tests.models import GGUF
from plugins.kaggle.tests.test_pull import REFERENCE
from tests.tui.conftest import MODEL
from tests.tui.test_downloads import a_hub, front, running, until, words

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from plugins.kaggle.tests.fake_kaggle import RunningKaggle


async def test_a_variation_is_fetched_into_kagglehubs_cache(
    kaggle: RunningKaggle, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo,kaggle")
    kaggle.add(GGUF, {"tiny.gguf": MODEL})
    async with running(a_hub(tmp_path)) as (_, pilot):
        pilot.app.post_message(Pull(REFERENCE))
        dialog = await front(pilot, PullScreen)
        await until(lambda: dialog.plan or dialog.error, "an answer", pilot)
        assert "downloads 4.12 MB" in words(dialog)
        kaggle.faults["damage"] = "yes"
        await pilot.press("enter")
        screen = await front(pilot, DownloadsScreen)
        (download,) = screen.downloads.all
        await until(lambda: download.state == "failed", "failed", pilot)
        assert "another MD5" in str(download.error)
        kaggle.faults.clear()
        await pilot.press("f5")
        await until(lambda: download.state == "done", "done", pilot)
        assert download.reference == f"{REFERENCE}/1"
    assert (cache / "google/gemma-3/gguf/tiny-q8_0/1/tiny.gguf").read_bytes() == MODEL
