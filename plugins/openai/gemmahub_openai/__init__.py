"""Servers that speak OpenAI's API for gemmahub: LM Studio, llama-server, vLLM and others.

Only hooks live here; the client is imported when a server is asked.
"""

from __future__ import annotations

from typing import Final

GEMMAHUB_CONTRACT: Final = 2
