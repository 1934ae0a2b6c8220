"""The backend ``lmstudio``: models of LM Studio's folder, and of its server."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote

from gemmahub.engines.contract import (
    Artifact,
    Availability,
    Backend,
    LoadedModel,
    OnProgress,
    Option,
    ServedModel,
    SessionInfo,
    Settings,
)
from gemmahub.engines.one_answer import check_one_answer
from gemmahub.errors import BackendError, LoadFailed
from gemmahub.text import one_line
from gemmahub_lmstudio.place import NAME, in_words, is_listed, studio_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gemmahub_lmstudio.loading import LoadedInstance
    from gemmahub_lmstudio.session import StudioSession
    from gemmahub_openai.lm_studio import StudioModel
    from gemmahub_openai.servers import Server

_QUICK: Final = 1.5
"""Seconds for finding out whether a server is there."""


class LMStudioBackend(Backend):
    """Runs models in LM Studio's own server, over its REST interface."""

    name: ClassVar[str] = NAME
    formats: ClassVar[tuple[str, ...]] = ("gguf", "mlx")
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"cache_in_memory", "images", "schema", "thinking", "tools", "unload"}
    )
    in_process: ClassVar[bool] = False
    options: ClassVar[tuple[Option, ...]] = (
        Option("timeout", "Longest silence of the server, in seconds.", float, 600.0),
    )

    def availability(self) -> Availability:
        """Whether LM Studio's server answers where the settings say."""
        try:
            models = self._models(_QUICK)
        except BackendError as error:
            return Availability(False, reason=error.message, hint=error.hint)
        return Availability(True, version=f"{len(models)} models")

    def suits(self, artifact: Artifact) -> bool:
        """Models of LM Studio's store."""
        return artifact.store == NAME

    def served(self, seconds: float) -> list[ServedModel]:
        """What the server has and this machine's folder has not."""
        if not is_listed():
            return []
        models = self._models(seconds)
        here = set(_keys_here(models))
        return [_served(model) for model in models if model.key not in here and not _embeds(model)]

    def loaded(self) -> list[LoadedModel]:
        """Each instance in memory. LM Studio states neither its memory nor where it is."""
        server = studio_server()
        if not is_listed():
            return []
        models = self._models(_QUICK)
        here = dict(_references_here(models))
        return [
            LoadedModel(
                name=one_line(instance.id, 200),
                backend=NAME,
                reference=here.get(model.key) or reference_of(model.key),
                label=one_line(model.quantization, 20),
                context=instance.context,
                place=server.url.removeprefix("http://"),
            )
            for model in models
            for instance in model.instances
        ]

    def unload(self, name: str) -> None:
        """Let LM Studio give back an instance's memory. Raises: BackendError."""
        from gemmahub_openai.client import Clock, ServerClient
        from gemmahub_openai.lm_studio import studio_models, unload_instance

        with ServerClient(studio_server()) as client:
            try:
                models = studio_models(client, Clock(_QUICK))
                if any(one.id == name for model in models for one in model.instances):
                    unload_instance(client, name, Clock(10.0))
            except BackendError as error:
                raise in_words(error) from None

    def load(
        self,
        model: Artifact | ServedModel,
        settings: Settings,
        on_progress: OnProgress | None = None,
    ) -> StudioSession:
        """Load a model of LM Studio's folder, or of its server.

        Raises: LoadFailed, BackendMissing, BackendCrashed.
        """
        from gemmahub_lmstudio.loading import loaded
        from gemmahub_openai.client import ServerClient

        options = self.check_options(settings)
        _check_settings(settings)
        seconds = float(options["timeout"])
        if not 0 < seconds < float("inf"):
            raise LoadFailed("lmstudio: timeout is not a number of seconds", "give 1 or more")
        if isinstance(model, Artifact) and not self.suits(model):
            raise LoadFailed(
                f"{one_line(model.shown_name)} is not in LM Studio's models folder",
                "import it with lms import FILE, or leave out --backend",
            )
        started = perf_counter()
        server = studio_server()
        try:
            with ServerClient(server) as client:
                found = loaded(client, model, settings, seconds)
        except BackendError as error:
            raise in_words(error) from None
        if on_progress is not None:
            on_progress(1.0)
        settings = replace(settings, options=options, context=found.instance.context)
        return _session(server, found, settings, perf_counter() - started, seconds)

    def _models(self, seconds: float) -> list[StudioModel]:
        """Raises: BackendError."""
        from gemmahub_openai.client import Clock, ServerClient
        from gemmahub_openai.faults import unreachable
        from gemmahub_openai.lm_studio import studio_models
        from gemmahub_openai.reach import is_there

        server = studio_server()
        if not is_there(server, seconds):
            raise in_words(unreachable(server))
        with ServerClient(server) as client:
            try:
                return studio_models(client, Clock(seconds))
            except BackendError as error:
                raise in_words(error) from None


def reference_of(key: str) -> str:
    """How a model is named that only the server has: ``lmstudio://KEY``."""
    return f"{NAME}://{quote(key, safe='/:.@-_')}"


def _session(
    server: Server, found: LoadedInstance, settings: Settings, seconds: float, silence: float
) -> StudioSession:
    from gemmahub_lmstudio.matching import label_of
    from gemmahub_lmstudio.session import StudioSession
    from gemmahub_openai.client import Clock, ServerClient
    from gemmahub_openai.lm_studio import unload_instance
    from gemmahub_openai.servers import ServerKind
    from gemmahub_openai.session import Partner

    model, instance = found.model, found.instance

    def give_back() -> None:
        if found.ours:
            with ServerClient(server) as client:
                unload_instance(client, instance.id, Clock(10.0))

    info = SessionInfo(
        engine="LM Studio",
        context=instance.context,
        context_trained=model.max_context,
        chat_template=True,
        device=server.url.removeprefix("http://"),
        settings=settings,
        load_seconds=seconds,
        precision=one_line(label_of(model, found.name), 20),
        images=model.vision,
    )
    stated = replace(model.stated(), tools=model.tools or None)  # others get LM Studio's own form
    partner = Partner(server, ServerKind.LM_STUDIO, stated, instance.id)
    session = StudioSession(info, partner, give_back, silence)
    session.thoughts = model.reasoning, model.reasoning_default
    return session


def _check_settings(settings: Settings) -> None:
    """Raises: LoadFailed for what LM Studio lets no client choose."""
    for name in ("context", "ubatch"):
        value = getattr(settings, name)
        if value is not None and not 1 <= value < 2**31:
            raise LoadFailed(f"{name} cannot be {value}", "give a number of 1 or more")
    check_one_answer(settings)
    for name in ("cache_type_k", "cache_type_v"):
        if (value := getattr(settings, name)) != "f16":
            raise LoadFailed(
                f"{name} cannot be {value}: LM Studio's REST interface has no field for it",
                "set it in LM Studio, as a default of this model, and give no --cache-type",
            )
    if settings.threads is not None:
        raise LoadFailed(
            "LM Studio's REST interface has no field for threads",
            "set them in LM Studio, as a default of this model, and give no --threads",
        )


def _served(model: StudioModel) -> ServedModel:
    contexts = [one.context for one in model.instances if one.context is not None]
    return ServedModel(
        reference_of(model.key),
        model.key,
        NAME,
        place=studio_server().url,
        precision=one_line(model.quantization, 20),
        architecture=model.architecture,
        context=max(contexts, default=None),
        context_trained=model.max_context,
        images=model.vision,
        loaded=model.loaded,
    )


def _embeds(model: StudioModel) -> bool:
    return model.type in ("embedding", "embeddings")


def _references_here(models: list[StudioModel]) -> Iterator[tuple[str, str]]:
    """The keys of models that are files of this machine's folder, with the files' references."""
    from gemmahub.config import load_config
    from gemmahub_lmstudio.matching import model_of
    from gemmahub_lmstudio.store import LMStudioStore

    stores = load_config().stores
    if not studio_server().local or (stores is not None and NAME not in stores):
        return
    for artifact in LMStudioStore().inventory().artifacts:
        if found := model_of(artifact, models):
            yield found[0].key, artifact.reference


def _keys_here(models: list[StudioModel]) -> Iterable[str]:
    return (key for key, _ in _references_here(models))
