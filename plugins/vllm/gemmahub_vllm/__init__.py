"""vLLM for gemmahub: ``vllm serve`` started and watched, or joined by URL.

Only hooks live here; nothing of vLLM is imported, it is a program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.engines.contract import Backend, Setting

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_settings() -> Sequence[Setting]:
    """Where the program is, and servers that run already."""
    from gemmahub_vllm.programs import SETTINGS

    return SETTINGS


@hookimpl
def gemmahub_backends() -> Iterable[Backend]:
    """``vllm``, which starts servers, and ``vllm-server``, which joins them."""
    from gemmahub_vllm.backend import VllmBackend
    from gemmahub_vllm.joined import VllmServerBackend

    return [VllmBackend(), VllmServerBackend()]
