"""The backend ``llama-server``: what it can do, and how it loads a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from gemmahub.engines.contract import (
    Artifact,
    Availability,
    Backend,
    EngineDevice,
    Loadable,
    OnProgress,
    Option,
    SessionInfo,
    Settings,
)
from gemmahub.errors import FormatError, IntegrityError, LoadFailed, UsageError
from gemmahub.formats.ggml_types import label_of_ftype
from gemmahub_llamaserver import programs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.formats.reader import ModelFile
    from gemmahub_llamaserver.arguments import Api
    from gemmahub_llamaserver.build import Build
    from gemmahub_llamaserver.servers import RunningServer, Wanted
    from gemmahub_llamaserver.session import LlamaServerSession, LoadedServer


class LlamaServerBackend(Backend):
    """Runs GGUF files with a ``llama-server`` of its own, over HTTP on this machine alone."""

    name: ClassVar[str] = "llama-server"
    formats: ClassVar[tuple[str, ...]] = ("gguf",)
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {
            "adapters",
            "audio",
            "cache_in_memory",
            "drafter",
            "embed",
            "experts_in_memory",
            "grammar",
            "images",
            "main_device",
            "parallel",
            "remote_workers",
            "schema",
            "serve",
            "tensor_split",
            "thinking",
            "tools",
        }
    )
    in_process: ClassVar[bool] = False
    priority: ClassVar[int] = 15
    options: ClassVar[tuple[Option, ...]] = (
        Option("mmap", "Map the file instead of reading it into memory.", bool, True),
        Option("mlock", "Keep the weights from being swapped out.", bool, False),
        Option("swa_full", "Full-size cache for sliding-window layers.", bool, False),
        Option(
            "images",
            "When to load the image projector: with the first image, with the model, or never.",
            default="first",
            choices=("first", "load", "never"),
        ),
        Option(
            "devices",
            "GPUs to use, by name (CUDA0), separated by commas [llama.cpp's choice].",
            default="",
        ),
        Option("prompt_cache", "MiB for earlier conversations; plans include them.", int, 0),
        # With none, a conversation shorter than the window is read again in each turn.
        Option("checkpoints", "Checkpoints of the window cache; plans include them.", int, 1),
    )

    def availability(self) -> Availability:
        """Whether there is a llama-server, and which."""
        build, reason, hint = programs.or_reason()
        if build is None:
            return Availability(False, reason=reason, hint=hint)
        return Availability(True, version=f"{build.version}, {build.origin}", commit=build.commit)

    def loadable(self, header: ModelFile) -> Loadable:
        """By what llama.cpp refuses of a header."""
        from gemmahub.engines.llama_files import llama_cpp_loads

        return llama_cpp_loads(header, lambda: self.availability().commit)

    def devices(self) -> list[EngineDevice]:
        """The processor, and what ``--list-devices`` says. Raises: BackendMissing."""
        from gemmahub_llamaserver.build import read_devices

        return read_devices(_build())

    def remote_devices(self, workers: Sequence[str]) -> list[EngineDevice]:
        """What ``--list-devices`` says of workers. Raises: LoadFailed, BackendMissing."""
        from gemmahub_llamaserver.workers import worker_devices

        return worker_devices(_build(), workers)

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> LlamaServerSession:
        """Load a GGUF file; of a split model, the first part.

        The projector comes with the first image, or now with the option ``images=load``.

        Raises: LoadFailed, BackendMissing, BackendCrashed.
        """
        from gemmahub_llamaserver.arguments import check_settings
        from gemmahub_llamaserver.session import LlamaServerSession

        settings = replace(settings, options=self.check_options(settings))
        check_settings(settings)
        model = _Model(artifact, settings, _build())
        loaded = model.load(settings.options["images"] == "load", on_progress)
        if on_progress is not None:
            on_progress(1.0)
        later = model.has_projector and settings.options["images"] == "first"
        load_again = model.load if later else None
        return LlamaServerSession(loaded, model.template, load_again, artifact.reference or "")

    def serve(self, artifact: Artifact, settings: Settings, key: str = "") -> ServedFile:
        """Serve a GGUF file to other programs, with its projector unless ``images`` is never.

        Raises: LoadFailed, BackendMissing, BackendCrashed.
        """
        from gemmahub_llamaserver.arguments import check_settings

        settings = replace(settings, options=self.check_options(settings))
        check_settings(settings)
        return _Model(artifact, settings, _build()).serve(key)


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A server that other programs ask; see :class:`gemmahub.engines.contract.EngineServer`."""

    loaded: LoadedServer

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.loaded.server.program.port}"

    @property
    def info(self) -> SessionInfo:
        """What is loaded."""
        return self.loaded.info

    def close(self) -> None:
        """End it; twice is fine."""
        self.loaded.server.program.stop()


class _Model:
    """A file and its settings, from which servers are started."""

    def __init__(self, artifact: Artifact, settings: Settings, build: Build) -> None:
        """Raises: LoadFailed for a file that is none, a drafter or a setting that cannot be."""
        from gemmahub.formats.kinds import EMBEDDING, kind_of
        from gemmahub_llamaserver.arguments import Beside, filled_in, names_devices
        from gemmahub_llamaserver.build import read_devices
        from gemmahub_llamaserver.drafting import draft_type
        from gemmahub_llamaserver.workers import worker_devices

        self._path = (artifact.files[0] if artifact.files else artifact.path).absolute()
        header = _header(self._path)
        for adapter in settings.adapters:
            _check_adapter(adapter.path, header)
        self.template = header.chat_template
        architecture = header.metadata.get("general.architecture")
        kind = kind_of(self._path.name, header.metadata, header.tensors)
        self._embeds = kind == EMBEDDING
        trained = header.metadata.get(f"{architecture}.context_length")
        self._trained = trained if isinstance(trained, int) and trained > 0 else None
        self._settings = filled_in(settings, self._trained, self._embeds)
        self._build = build
        if settings.remote_workers:
            worker_devices(build, settings.remote_workers)
        self._devices = (
            read_devices(build, settings.remote_workers) if names_devices(settings) else None
        )
        wanted = settings.options["images"] != "never"
        self._projector = artifact.projector.absolute() if wanted and artifact.projector else None
        self.has_projector = self._projector is not None
        self._hears = _hears(self._projector)
        self._name = artifact.name or self._path.stem
        drafter = settings.drafter and settings.drafter.absolute()
        kind = draft_type(drafter, header) if drafter else ""
        self._beside = Beside(drafter=drafter, draft_type=kind)

    def load(self, with_projector: bool, on_progress: OnProgress | None) -> LoadedServer:
        """A server with the model. Raises: LoadFailed, BackendMissing, BackendCrashed."""
        from gemmahub_llamaserver import servers

        started = perf_counter()
        server = servers.acquire(self._wanted(with_projector), on_progress)
        try:
            return self._described(server, started)
        except BaseException:
            servers.release(server)
            raise

    def serve(self, key: str) -> ServedFile:
        """A server for other programs. Raises: as :meth:`load`."""
        from gemmahub_llamaserver import servers
        from gemmahub_llamaserver.arguments import Api

        started = perf_counter()
        api = Api(self._name, self.template is not None)
        server = servers.start(self._wanted(with_projector=True, api=api), key)
        try:
            return ServedFile(self._described(server, started))
        except BaseException:
            server.program.stop()
            raise

    def _wanted(self, with_projector: bool, api: Api | None = None) -> Wanted:
        from gemmahub_llamaserver import arguments, servers

        beside = replace(self._beside, projector=self._projector if with_projector else None)
        words = arguments.words(
            self._build, self._path, self._settings, self._devices, beside, api, self._embeds
        )
        adapters = [adapter.path for adapter in self._settings.adapters]
        files = [path.stat() for path in (self._path, *beside.files, *adapters)]
        return servers.Wanted(
            (*self._build.command, *words),
            self._path.name if self._path.suffix else self._name,  # a blob's name says nothing
            tuple(number for each in files for number in (each.st_size, each.st_mtime_ns)),
        )

    def _described(self, server: RunningServer, started: float) -> LoadedServer:
        """What the server says of what it loaded. Raises: LoadFailed."""
        from gemmahub.http.limits import ExchangeError
        from gemmahub.http.values import NotJson, count_of, object_of, text_of
        from gemmahub_llamaserver import report
        from gemmahub_llamaserver.servers import ask
        from gemmahub_llamaserver.session import LoadedServer

        try:
            with server.client() as web:
                props = ask(web, "/props")
        except (ExchangeError, NotJson) as error:
            raise LoadFailed(
                f"llama-server does not report what it loaded: {error}", "try another llama-server"
            ) from None
        context = count_of(object_of(props.get("default_generation_settings")).get("n_ctx"))
        if not context:
            raise LoadFailed("llama-server does not report its context", "try another llama-server")
        lines = server.program.log.lines
        threads = self._settings.threads
        on = ", ".join(report.read_devices(lines)) if self._settings.gpu_layers != 0 else ""
        info = SessionInfo(
            engine=f"llama-server {self._build.version}",
            context=context,
            context_trained=self._trained,
            chat_template=self.template is not None,
            device=on or f"CPU, {threads} thread{'' if threads == 1 else 's'}",
            settings=replace(self._settings, context=context * self._settings.parallel),
            load_seconds=perf_counter() - started,
            memory=report.read_memory(lines),
            precision=label_of_ftype(text_of(props.get("model_ftype"), 40)),
            images=self.has_projector,
            audio=self._hears,
        )
        return LoadedServer(server, props, info)


def _build() -> Build:
    """Raises: BackendMissing; LoadFailed for a setting that is none."""
    try:
        return programs.find_build()
    except UsageError as error:
        raise LoadFailed(error.message, error.hint) from None


def _header(path: Path) -> ModelFile:
    """Raises: LoadFailed."""
    from gemmahub.formats.detect import open_model

    if not path.is_file():
        raise LoadFailed(f"there is no file {path}", "see `gemmahub list`")
    try:
        return open_model(path)
    except (FormatError, IntegrityError) as error:
        raise LoadFailed(error.message, error.hint) from None


def _check_adapter(path: Path, model: ModelFile) -> None:
    """Raises: LoadFailed for what is no adapter of this model."""
    from gemmahub.formats.adapter import check_adapter

    try:
        check_adapter(_header(path), model)
    except FormatError as error:
        raise LoadFailed(error.message, error.hint) from None


def _hears(projector: Path | None) -> bool:
    """Whether a projector is for sounds, too."""
    try:
        header = None if projector is None else _header(projector)
    except LoadFailed:  # said when it is loaded
        return False
    return header is not None and header.metadata.get("clip.has_audio_encoder") is True
