"""Ollama for gemmahub: its models, its server, its registry.

Only hooks live here; the client is imported when a server is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from gemmahub.engines.contract import Backend, Store
    from gemmahub.engines.sources import Source

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_backends() -> list[Backend]:
    """The backend ``ollama``."""
    from gemmahub_ollama.backend import OllamaBackend

    return [OllamaBackend()]


@hookimpl
def gemmahub_stores() -> list[Store]:
    """Offer Ollama's folders that are here."""
    from gemmahub_ollama.store import ollama_stores

    return list(ollama_stores())


@hookimpl
def gemmahub_sources() -> list[Source]:
    """Ollama's registry, and others that speak its protocol."""
    from gemmahub_ollama.source import OllamaSource

    return [OllamaSource()]
