"""Models of servers in the UI and in ``compare``: stated, not measured; faults are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.cli.main import run
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.sort_filter import Item
from plugins.openai.tests.fake_server import HTML, FakeServer
from plugins.openai.tests.test_lm_studio import KEY, STUDIO
from tests.tui.library_support import HERE, drawn, install, loaded, steady_hub, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def servers(name_servers: Any) -> Iterator[None]:
    """LM Studio, a web site, and a port where nobody is."""
    with FakeServer() as studio, FakeServer() as site:
        for what, body in STUDIO.items():
            studio.says(what, body)
        site.says("GET /v1/models", HTML)
        name_servers(studio=studio.address, site=site.address, gone="http://127.0.0.1:9")
        yield


async def test_the_library_shows_them_and_does_not_fall_over(servers: None, tmp_path: Path) -> None:
    install(tmp_path, HERE)
    hub = steady_hub(tmp_path)
    async with GemmahubApp(hub).run_test(size=(160, 48)) as pilot:
        screen = await loaded(pilot)
        references = {i.reference for i in table(screen).lines if isinstance(i, Item)}
        assert {HERE, f"studio://{KEY}"} <= references
        while under(screen) != f"studio://{KEY}":
            await pilot.press("down")
        await pilot.pause()
        assert "stated: Q4_0" in drawn(screen)
        assert screen.overview is not None
        reasons = " ".join(entry.reason for entry in screen.overview.broken)
        assert "web page" in reasons
        assert "no server answers" in reasons


def test_compare_says_that_it_is_stated(servers: None, capsys: pytest.CaptureFixture[str]) -> None:
    other = "studio://text-embedding-nomic-embed-text-v1.5-embedding"
    assert run(["compare", f"studio://{KEY}", other]) == 0
    out, err = capsys.readouterr()
    assert "stated: Q4_0" in out
    assert "stated: F16" in out
    assert "so its precision is what its server states" in out + err


def test_a_model_of_a_server_that_fails_says_why(
    servers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", "site://anything", "hello"]) == 5
    assert "web page" in capsys.readouterr().err
    assert run(["run", "studio://anything", "hello"]) == 3


def under(screen: Any) -> str:
    item = table(screen).item
    return item.reference if item else ""
