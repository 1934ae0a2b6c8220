"""How an image projector is told by its name."""

from __future__ import annotations


def is_projector(name: str) -> bool:
    """Whether a file of that name is a projector: llama.cpp's converter writes ``mmproj`` in it."""
    name = name.lower()
    return "mmproj" in name and name.endswith(".gguf")
