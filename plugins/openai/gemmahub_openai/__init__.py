"""Servers that speak OpenAI's API for gemmahub: LM Studio, llama-server, vLLM and others.

Only hooks live here; the client is imported when a server is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from gemmahub.engines.contract import Backend, Setting

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_backends() -> list[Backend]:
    """The backend ``openai``."""
    from gemmahub_openai.backend import OpenAIBackend

    return [OpenAIBackend()]


@hookimpl
def gemmahub_settings() -> tuple[Setting, ...]:
    """The servers, and the places on this machine that are asked."""
    from gemmahub_openai.places import SETTINGS

    return SETTINGS
