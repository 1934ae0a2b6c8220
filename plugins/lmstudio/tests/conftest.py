"""A folder as LM Studio's, with one small model, and a server that has it."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.testing.model_writer import write_model
from gemmahub_lmstudio.store import LMStudioStore
from plugins.lmstudio.tests import recorded
from plugins.lmstudio.tests.fake_lm_studio import FakeLMStudio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Artifact

REPOSITORY = "publisher/tiny-GGUF"
KEY = "tiny"


def entry_of(path: Path, **changes: Any) -> dict[str, Any]:
    """What LM Studio would state of a file: the document's own example, with its size and names."""
    found = deepcopy(recorded.TINY)
    found |= {"publisher": "publisher", "key": KEY, "size_bytes": path.stat().st_size}
    found |= {"quantization": {"name": "F32", "bits_per_weight": 32}, "loaded_instances": []}
    found["capabilities"] = {"vision": False, "trained_for_tool_use": True}
    return found | changes


def make_model(
    home: Path, repository: str = REPOSITORY, name: str = "tiny-F32.gguf", seed: int = 0
) -> Artifact:
    """A model in LM Studio's folder in this home."""
    path = home / ".lmstudio" / "models" / repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_model(path, seed=seed)
    found = LMStudioStore(home / ".lmstudio" / "models").inventory().artifacts
    return next(artifact for artifact in found if artifact.path == path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which LM Studio's folder is looked for."""
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    for name in ("LM_API_TOKEN", "GEMMAHUB_STORES", "GEMMAHUB_PLUGINS", "GEMMAHUB_FOLDERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: place)
    return place


@pytest.fixture
def artifact(home: Path) -> Artifact:
    """The small model."""
    return make_model(home)


def told(server: FakeLMStudio, key: str = "") -> None:
    """Write the settings that lead to a server."""
    lines = ["[plugins.lmstudio]", f'url = "{server.address}"']
    lines += [f'key = "{key}"'] if key else []
    path = Path(os.environ["GEMMAHUB_CONFIG"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def studio(artifact: Artifact) -> Iterator[FakeLMStudio]:
    """A server that has the small model, as the settings name it."""
    with FakeLMStudio([entry_of(artifact.path)]) as server:
        told(server)
        yield server
