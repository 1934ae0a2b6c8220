"""The backend keeps the contract, with a server that speaks LM Studio's documented interface.

No LM Studio was at hand: what is tested is that this plugin and the documents agree.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from gemmahub.testing.conformance import BackendConformance
from plugins.lmstudio.tests.conftest import entry_of, make_model, told
from plugins.lmstudio.tests.fake_lm_studio import FakeLMStudio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.engines.contract import Artifact, ServedModel


class TestConformance(BackendConformance):
    plugin = "lmstudio"
    thinks = False
    server: ClassVar[FakeLMStudio]

    @pytest.fixture(autouse=True, scope="class")
    def _server(self, _own_settings: None) -> Iterator[None]:
        with FakeLMStudio([]) as server:
            type(self).server = server
            told(server)
            yield

    def make_artifact(self, folder: Path) -> Artifact:
        found = make_model(folder)
        can: dict[str, Any] = {"vision": True, "trained_for_tool_use": True}
        self.server.models.append(entry_of(found.path, capabilities=can))
        return found

    def unknown_artifact(self, model: Artifact | ServedModel) -> Artifact | ServedModel:
        found = super().unknown_artifact(model)
        return replace(found, repository="nobody/nothing")  # type: ignore[call-arg]
