"""The backend ``ollama``: what it can do, and how it loads a model."""

from __future__ import annotations

import re
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gemmahub.engines.contract import (
    Artifact,
    Availability,
    Backend,
    LoadedModel,
    OnProgress,
    Option,
    SessionInfo,
    Settings,
)
from gemmahub.engines.one_answer import check_one_answer
from gemmahub.errors import BackendError, LoadFailed
from gemmahub.http.values import count_of, object_of, text_of, texts_of
from gemmahub.text import one_line
from gemmahub_ollama.address import server_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub_ollama.server import OllamaServer
    from gemmahub_ollama.session import OllamaSession

DEFAULT_CONTEXT: Final = 8192
"""Tokens of context when nothing is said; Ollama's own default depends on the machine."""

_SCHEME: Final = "ollama://"
_STORE: Final = "ollama"
_DIGEST: Final = re.compile(r"sha256[:-]([0-9a-f]{64})")
_NO_TEMPLATE: Final = "{{ .Prompt }}"
_MOST_STOPS: Final = 64
_STOP: Final = re.compile(r'^stop\s+"(.*)"\s*$', re.MULTILINE)


class OllamaBackend(Backend):
    """Runs the models of an Ollama server's store, over its HTTP interface."""

    name: ClassVar[str] = "ollama"
    formats: ClassVar[tuple[str, ...]] = ("gguf",)
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"images", "schema", "thinking", "tools", "unload"}
    )
    in_process: ClassVar[bool] = False
    checked_version: ClassVar[str] = "0.17.4"
    options: ClassVar[tuple[Option, ...]] = (
        Option("import", "Copy the file into Ollama's store.", bool, False),
        Option("keep_alive", "How long the server keeps the model after an answer.", str, "5m"),
        Option("timeout", "Longest silence of the server, in seconds.", float, 600.0),
    )

    def availability(self) -> Availability:
        """Whether a server answers where ``OLLAMA_HOST`` says."""
        from gemmahub_ollama.server import OllamaServer

        try:
            with OllamaServer() as server:
                return Availability(True, version=one_line(server.version(), 40))
        except BackendError as error:
            return Availability(False, reason=error.message, hint=error.hint)

    def suits(self, artifact: Artifact) -> bool:
        """Models of Ollama's store; other files only when it is named."""
        return artifact.store.startswith(_STORE) and artifact.reference.startswith(_SCHEME)

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> OllamaSession:
        """Load a model of the server's store; with the option ``import`` any GGUF file.

        Raises: LoadFailed, BackendMissing, BackendCrashed.
        """
        from gemmahub_ollama.server import OllamaServer

        options = self.check_options(settings)
        _check_settings(settings)
        if not 0 < options["timeout"] < float("inf"):
            raise LoadFailed("ollama: timeout is not a number of seconds", "give 1 or more")
        server = OllamaServer(timeout=float(options["timeout"]))
        try:
            return self._load(server, artifact, replace(settings, options=options), on_progress)
        except BaseException:
            server.close()
            raise

    def loaded(self) -> list[LoadedModel]:
        """What the server has loaded, with the memory and the context that it says.

        What it says in another kind than it should counts as not said.
        """
        from gemmahub_ollama.server import LISTING, OllamaServer

        with OllamaServer() as server:
            return [_loaded(self.name, entry) for entry in server.running(LISTING)]

    def unload(self, name: str) -> None:
        """Let the server give back a model's memory. Raises: BackendError."""
        from gemmahub_ollama.server import OllamaServer

        with OllamaServer() as server:
            if server.loaded(name) is not None:
                server.unload(name)

    def _load(
        self,
        server: OllamaServer,
        artifact: Artifact,
        settings: Settings,
        on_progress: OnProgress | None,
    ) -> OllamaSession:
        from gemmahub_ollama.session import OllamaSession

        started = perf_counter()
        version = server.version()
        model = self._model(server, artifact, settings)
        shown = server.show(model)
        _check_content(model, shown, artifact)
        trained = trained_context(shown)
        wanted = settings.context or min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
        options = load_options(settings, wanted)
        keep_alive = str(settings.options["keep_alive"])
        before = server.loaded(model)
        server.load(model, options, keep_alive)
        entry = server.loaded(model) or {}
        # A server before 0.10.1 does not say the context; it gives what was asked for.
        context = _number(entry.get("context_length")) or min(wanted, trained or wanted)
        if on_progress is not None:
            on_progress(1.0)
        info = SessionInfo(
            engine=f"Ollama {one_line(version, 40)}",
            context=context,
            context_trained=trained,
            chat_template=_has_template(shown),
            device=device_of(entry),
            settings=replace(settings, context=context),
            load_seconds=perf_counter() - started,
            precision=_precision(shown),
            images=_takes_images(shown),
        )
        return OllamaSession(
            server,
            model,
            info,
            options={**options, "num_ctx": context},
            keep_alive=keep_alive,
            stops=_STOP.findall(text_of(shown.get("parameters")))[:_MOST_STOPS],
            thinks="thinking" in texts_of(shown.get("capabilities")),
            tools="tools" in texts_of(shown.get("capabilities")),
            # What somebody else had loaded stays loaded.
            unload=before is None or _number(before.get("context_length")) != context,
        )

    def _model(self, server: OllamaServer, artifact: Artifact, settings: Settings) -> str:
        """The name of the artifact on the server.

        Raises: LoadFailed for a file that is not in its store.
        """
        if self.suits(artifact):
            return artifact.reference.removeprefix(_SCHEME)
        if not settings.options["import"]:
            raise LoadFailed(
                f"{artifact.path.name} is not in Ollama's store",
                "copy it there: --option import=true; or leave out --backend: llama.cpp runs "
                "it as it is",
            )
        from gemmahub_ollama.importing import import_model

        return import_model(server, artifact)


def _check_settings(settings: Settings) -> None:
    """Raises: LoadFailed for what an Ollama server lets no client choose."""
    for name in ("context", "threads", "ubatch"):
        value = getattr(settings, name)
        if value is not None and not 1 <= value < 2**31:
            raise LoadFailed(f"{name} cannot be {value}", "give a number of 1 or more")
    check_one_answer(settings)
    for name in ("cache_type_k", "cache_type_v"):
        if (value := getattr(settings, name)) != "f16":
            raise LoadFailed(
                f"{name} cannot be {value}: an Ollama server has one cache type for all models",
                f"start it with OLLAMA_KV_CACHE_TYPE={value}, use --ctx-size but not --cache-type",
            )
    if not settings.flash_attention:
        raise LoadFailed(
            "an Ollama server decides on flash attention for all models",
            "start it with OLLAMA_FLASH_ATTENTION=0 and leave out the setting",
        )


def load_options(settings: Settings, context: int) -> dict[str, Any]:
    """Ollama's options that decide how a model is loaded; a change of one loads it again."""
    found = {
        "num_ctx": context,
        "num_batch": settings.ubatch,
        "num_gpu": settings.gpu_layers,
        "num_thread": settings.threads,
    }
    return {name: value for name, value in found.items() if value is not None}


def trained_context(shown: Mapping[str, Any]) -> int | None:
    """The context that a model was trained for, None where the server does not say it."""
    facts = object_of(shown.get("model_info"))
    architecture = text_of(facts.get("general.architecture"), 200)
    return _number(facts.get(f"{architecture}.context_length")) or None


def device_of(entry: Mapping[str, Any]) -> str:
    """Where a loaded model lies, as ``ollama ps`` says it."""
    size, there = _number(entry.get("size")), _number(entry.get("size_vram"))
    if not size:
        return "unknown"
    if not there:
        return "CPU"
    return "GPU" if there >= size else f"GPU {there / size:.0%}, CPU {1 - there / size:.0%}"


def _check_content(model: str, shown: Mapping[str, Any], artifact: Artifact) -> None:
    """Whether the server's model is the file that was measured.

    Raises: LoadFailed for another file of the same name.
    """
    line = next(
        (x for x in text_of(shown.get("modelfile")).splitlines() if x.startswith("FROM ")), ""
    )
    match = _DIGEST.search(line)
    if match and artifact.sha256 and match[1] != artifact.sha256:
        raise LoadFailed(
            f"the Ollama server's {one_line(model)} is not the file of that name on this machine",
            "OLLAMA_HOST and OLLAMA_MODELS must belong to the same server",
        )


def _takes_images(shown: Mapping[str, Any]) -> bool | None:
    """As the server says; None for an old one, which lists no capabilities."""
    listed = shown.get("capabilities")
    return "vision" in texts_of(listed) if isinstance(listed, list) else None


def _precision(shown: Mapping[str, Any]) -> str:
    """The server's own label of the weights, empty where it has none."""
    label = text_of(object_of(shown.get("details")).get("quantization_level"))
    return one_line(label, 20) if label != "unknown" else ""


def _has_template(shown: Mapping[str, Any]) -> bool:
    return text_of(shown.get("template")).strip() not in ("", _NO_TEMPLATE)


def _loaded(backend: str, entry: Mapping[str, Any]) -> LoadedModel:
    name = one_line(text_of(entry.get("name")) or text_of(entry.get("model")) or "?")
    label = text_of(object_of(entry.get("details")).get("quantization_level"))
    return LoadedModel(
        name=name,
        backend=backend,
        reference=f"{_SCHEME}{name}",
        label=one_line(label, 20),
        memory_bytes=_number(entry.get("size")) or None,
        device_bytes=_number(entry.get("size_vram")),
        context=_number(entry.get("context_length")) or None,
        device=device_of(entry),
        until=one_line(text_of(entry.get("expires_at")), 40),
        place=server_address().shown,
    )


def _number(value: object) -> int:
    return count_of(value) or 0
