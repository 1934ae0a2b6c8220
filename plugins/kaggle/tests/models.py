"""Tiny models as Kaggle has them, by framework, and the folders that they lie in there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from gemmahub.testing.folder_writer import write_model_folder
from gemmahub.testing.model_writer import write_model

GGUF = "google/gemma-3/GGUF/tiny-q8_0"
FLAX = "google/gemma-3/FLAX/gemma3-4b-it-int4"


def gguf() -> bytes:
    """A GGUF that can be loaded: gemma3, two layers, random weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        write_model(path)
        return path.read_bytes()


def safetensors() -> dict[str, bytes]:
    """The files of a model folder of transformers."""
    with tempfile.TemporaryDirectory() as folder:
        write_model_folder(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def flax() -> dict[str, bytes]:
    """An Orbax checkpoint with its tokenizer, as google/gemma-3/flax lays it out; not readable."""
    return {
        "gemma3-4b-it-int4/_METADATA": b"{}",
        "gemma3-4b-it-int4/_CHECKPOINT_METADATA": b"{}",
        "gemma3-4b-it-int4/manifest.ocdbt": b"m" * 100,
        "gemma3-4b-it-int4/d/0123456789abcdef": b"d" * 300_000,
        "gemma3-4b-it-int4/ocdbt.process_0/d/fedcba": b"e" * 200_000,
        "tokenizer.model": b"t" * 5000,
    }
