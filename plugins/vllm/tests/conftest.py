"""A folder with a tiny model, and a program ``vllm`` that speaks vLLM's API."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact
from gemmahub.testing.folder_writer import write_model_folder

if TYPE_CHECKING:
    from collections.abc import Callable

FAKE = Path(__file__).with_name("fake_vllm.py")
REAL = os.environ.get("GEMMAHUB_TEST_VLLM", "")
"""The program ``vllm`` of an installation of vLLM for processors, for tests with the real one."""


def tiny(folder: Path) -> Path:
    """A Gemma 3 of two layers as transformers writes it, with a tokenizer that it reads."""
    write_model_folder(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b'"format": "mlx"', b'"format": "pt" ', 1))
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text("utf-8"))
    plain = {k: v["content"] if isinstance(v, dict) else v for k, v in said.items()}
    path.write_text(json.dumps(plain), "utf-8")
    return folder


def folder_artifact(folder: Path, name: str = "tiny") -> Artifact:
    return Artifact("safetensors", folder, (folder / "model.safetensors",), name=name)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "vllm"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_VLLM_SEEN", str(tmp_path / "seen.json"))
    return tmp_path / "seen.json"


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Artifact]:
    """A tiny model in a folder of that name, which the fake program may take for a fault."""
    return lambda name: folder_artifact(tiny(tmp_path / name))
