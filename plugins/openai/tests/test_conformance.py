"""The backend keeps the contract, with real llama-servers: one model, and a router."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import psutil
import pytest

from gemmahub.engines.resident import resident_memory
from gemmahub.testing.conformance import BackendConformance
from gemmahub_openai.backend import OpenAIBackend
from plugins.openai.tests.conftest import address, only

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
        ours = psutil.Process(self.program.pid)
        processes = [ours, *ours.children(recursive=True)]  # a router's models have their own
        found = [resident_memory(process.pid) for process in processes]
        return sum(each.anonymous_bytes for each in found if each is not None) or None


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
