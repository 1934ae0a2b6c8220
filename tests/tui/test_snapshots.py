"""Every screen as a picture, at three sizes, and the pictures in the documents.

After a change that is meant, take the snapshots anew and look at the difference::

    uv run pytest tests/tui/test_snapshots.py --snapshot-update
"""

from __future__ import annotations

import re
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from docs.make_screenshots import ALL, PICTURES
from tests.tui.stage import StagedApp, StagedHub, furnish, hold_still, serve
from tests.tui.ways import SCENES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
SNAPSHOTS = Path(__file__).with_name("__snapshots__") / "test_snapshots"
SIZES = ("80x24", "120x40", "160x48")
ELSEWHERE = re.compile(
    r"url\((?!#)|href=|@font-face|@import|<image|<script|127\.0\.0\.1(?!:8808)|/tmp|/home"
)


@pytest.fixture
def drawn_alike() -> None:
    """Another version of what draws may draw a little differently, and be right."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for name, wanted in re.findall(r"^(textual|rich)==(\S+)$", text, re.MULTILINE):
        if version(name) != wanted:
            pytest.skip(f"the snapshots were taken with {name} {wanted}, here is {version(name)}")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StagedHub]:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)
    hold_still(monkeypatch)
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "UTC")
        time.tzset()
        yield furnish(tmp_path)
    time.tzset()


@pytest.mark.usefixtures("drawn_alike")
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48)], ids=SIZES)
@pytest.mark.parametrize("name", SCENES)
def test_screen(
    name: str,
    size: tuple[int, int],
    hub: StagedHub,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    snap_compare: Callable[..., bool],
) -> None:
    scene = SCENES[name]
    if scene.hub:
        serve(request.getfixturevalue("hub_server"), tmp_path)
    assert snap_compare(StagedApp(hub), terminal_size=size, run_before=scene.way)


def test_pictures_fetch_nothing_and_tell_of_no_machine() -> None:
    """Also none is missing, and none is left of a screen that is gone."""
    snapshots = {f"test_screen[{name}-{size}]" for name in SCENES for size in SIZES}
    assert {path.stem for path in SNAPSHOTS.iterdir()} == snapshots
    assert {path.stem for path in PICTURES.iterdir()} == {picture.name for picture in ALL}
    for path in (*SNAPSHOTS.iterdir(), *PICTURES.iterdir()):
        found = ELSEWHERE.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.name}: {found}"


def test_documents_show_pictures_that_are_there() -> None:
    shown = set()
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for name in re.findall(r"\]\(([^)]+\.svg)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / name).is_file(), f"{path.name} shows {name}"
            shown.add(Path(name).stem)
    assert "library" in shown
