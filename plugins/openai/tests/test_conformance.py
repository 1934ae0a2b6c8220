"""The backend keeps the contract, with real llama-servers: one model, and a router."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
from conftest import address, only  # type: ignore[import-not-found]

from gemmahub.engines.resident import resident_memory
from gemmahub.testing.conformance import BackendConformance
from gemmahub_openai.backend import OpenAIBackend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.engines.contract import ServedModel
    from gemmahub.engines.program import Program


class _OfAServer(BackendConformance):
    plugin = "openai"
    thinks = False
    calls = False
    program: ClassVar[Program]
    reference: ClassVar[str]

    def make_artifact(self, folder: Path) -> ServedModel:
        return only(OpenAIBackend().served(5.0), self.reference)

    def memory_held(self) -> int | None:
        found = resident_memory(self.program.pid)
        return None if found is None else found.anonymous_bytes


class TestConformance(_OfAServer):
    """With a chat model of random weights and a projector."""

    reference = "lab://tiny"

    @pytest.fixture(autouse=True)
    def server(self, llama: Program, name_servers: Callable[..., None]) -> None:
        name_servers(lab=address(llama))
        type(self).program = llama


class TestConformanceOfARouter(_OfAServer):
    """With a model that the server loads for each session, and gives back."""

    reference = "lab://tiny-F32"

    @pytest.fixture(autouse=True)
    def server(self, router: Program, name_servers: Callable[..., None]) -> None:
        name_servers(lab=address(router))
        type(self).program = router
