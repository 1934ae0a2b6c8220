"""The backend ``vllm-server``: servers that run already, joined by their address."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from gemmahub.engines.contract import (
    Availability,
    Backend,
    OnProgress,
    ServedModel,
    SessionInfo,
    Settings,
)
from gemmahub.engines.plugin_settings import settings_of
from gemmahub.errors import LoadFailed
from gemmahub.http.values import count_of, object_of, text_of
from gemmahub_vllm.programs import SETTINGS
from gemmahub_vllm.web import client, fetch

if TYPE_CHECKING:
    from gemmahub_vllm.session import VllmSession

_LOAD_SECONDS = 10.0
_MOST = 1000


class VllmServerBackend(Backend):
    """Models of vLLM servers that the settings name; what they state is shown as stated."""

    name: ClassVar[str] = "vllm-server"
    in_process: ClassVar[bool] = False
    capabilities: ClassVar[frozenset[str]] = frozenset({"fixed_context", "parallel"})

    def availability(self) -> Availability:
        """Whether a server is named; whether it answers is known when it is asked."""
        servers = settings_of("vllm", SETTINGS)["servers"]
        if servers:
            return Availability(True, version=f"{len(servers)} server(s)")
        return Availability(
            False,
            reason="no server is set",
            hint="gemmahub config set plugins.vllm.servers lab=http://127.0.0.1:8000",
        )

    def served(self, seconds: float) -> list[ServedModel]:
        """What each server says of its models. Raises: BackendError for one that does not."""
        found = settings_of("vllm", SETTINGS)
        models: list[ServedModel] = []
        for server, address in found["servers"].items():
            entries = fetch(address, found["key"] or "", "/v1/models", seconds).get("data")
            for entry in entries[:_MOST] if isinstance(entries, list) else ():
                said = object_of(entry)
                if name := text_of(said.get("id")):
                    models.append(
                        ServedModel(
                            f"{server}://{quote(name.strip('/'), safe='/:.@-_')}",
                            name,
                            self.name,
                            place=address,
                            context=count_of(said.get("max_model_len")),
                        )
                    )
        return models

    def load(
        self, model: ServedModel, settings: Settings, on_progress: OnProgress | None = None
    ) -> VllmSession:
        """Talk to a model of a server. Raises: LoadFailed where it has none of that name."""
        from gemmahub_vllm.session import VllmSession

        self.check_options(settings)
        there = [m for m in self.served(_LOAD_SECONDS)
                 if (m.name, m.place) == (model.name, model.place)]  # fmt: skip
        if not there:
            raise LoadFailed(f"{model.place} has no model {model.name}", "see `gemmahub list`")
        info = SessionInfo(
            engine="vLLM",
            context=there[0].context,
            context_trained=None,
            chat_template=True,
            device=model.place,
            settings=settings,
        )
        key = settings_of("vllm", SETTINGS)["key"] or ""
        return VllmSession(info, client(model.place, key), model.name)
