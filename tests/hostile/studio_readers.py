"""LM Studio's folder: its settings, and the descriptions of virtual models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub_lmstudio.store import LMStudioStore, models_folder

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION: Final = """\
model: google/gemma-8b
base:
  - key: publisher/tiny
    sources:
      - {type: huggingface, user: publisher, repo: tiny}
  - &other publisher/other
  - *other
metadataOverrides: {contextLengths: [40960], vision: false}
"""
SETTINGS: Final = {"downloadsFolder": "/models", "language": "en"}


def read_description(raw: bytes, folder: Path) -> None:
    """The models of a folder whose virtual model is described so."""
    model = folder / "models" / "publisher" / "tiny" / "tiny-Q4_0.gguf"
    about = folder / "hub" / "models" / "google" / "gemma-8b" / "model.yaml"
    for path, content in ((model, b"GGUF"), (about, raw)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found = LMStudioStore(folder / "models").inventory()
    assert {artifact.path for artifact in found.artifacts} == {model}
    assert len(found.artifacts) <= 2


def read_settings(raw: bytes, folder: Path) -> None:
    """Where the models are, by settings that say so."""
    place = folder / ".lmstudio"
    place.mkdir(exist_ok=True)
    (place / "settings.json").write_bytes(raw)
    (folder / ".lmstudio-home-pointer").write_bytes(raw)
    assert "\\0" not in str(models_folder(folder))
