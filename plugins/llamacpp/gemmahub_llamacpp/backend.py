"""The backend ``llama.cpp``: what it can do, and how it loads a model."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gemmahub.engines.contract import (
    Artifact,
    Availability,
    Backend,
    CheckResult,
    DeviceUse,
    DryLoad,
    OnProgress,
    Option,
    SessionInfo,
    Settings,
)
from gemmahub.errors import GenerationFailed, LoadFailed
from gemmahub.formats.ggml_types import CACHE_TYPES, GGML_TYPES
from gemmahub_llamacpp import engine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gemmahub_llamacpp.context import Context, ContextSettings
    from gemmahub_llamacpp.model import LlamaModel
    from gemmahub_llamacpp.session import LlamaCppSession

DEFAULT_CONTEXT: Final = 8192

_MOST: Final = 2**31  # llama.cpp counts in 32 bits with a sign
# Tokens. A record of each position is made also when nothing else is allocated (a dry load for
# 2**28 tokens takes more than 10 GB), so a mistyped number could take all memory of the machine.
_MOST_CONTEXT: Final = 2**24

_FLOAT_TYPES: Final = ("f32", "f16", "bf16")
_NUMBERS: Final = {kind.name.lower(): number for number, kind in GGML_TYPES.items()}

_INSTALL: Final = (
    "`uv sync` in a checkout, else `pip install gemmahub-llamacpp`; it compiles llama.cpp and "
    "needs a C++ compiler"
)


class LlamaCppBackend(Backend):
    """Runs GGUF files with llama.cpp, inside this Python."""

    name: ClassVar[str] = "llama.cpp"
    formats: ClassVar[tuple[str, ...]] = ("gguf",)
    capabilities: ClassVar[frozenset[str]] = frozenset({"dry_load", "images"})
    in_process: ClassVar[bool] = True
    priority: ClassVar[int] = 10
    checked_version: ClassVar[str] = engine.CHECKED_VERSION
    options: ClassVar[tuple[Option, ...]] = (
        Option("mmap", "Map the file instead of reading it into memory.", bool, True),
        Option("mlock", "Keep the weights from being swapped out.", bool, False),
        Option("swa_full", "Full-size cache for sliding-window layers.", bool, False),
        Option("outputs_max", "Rows of logits a batch may ask for; 0: one a token.", int, 1),
        Option(
            "images",
            "When the image projector is loaded: with the first image, with the model, or never.",
            default="first",
            choices=("first", "load", "never"),
        ),
    )

    def availability(self) -> Availability:
        """Whether llama-cpp-python is installed. Imports nothing of it."""
        version = engine.version()
        if not version or find_spec("llama_cpp") is None:
            return Availability(False, reason=f"{engine.DISTRIBUTION} is missing", hint=_INSTALL)
        return Availability(True, version=version)

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> LlamaCppSession:
        """Load a GGUF file; of a split model, the first part.

        The projector comes with the first image, or now with the option ``images=load``.

        Raises: LoadFailed, BackendMissing.
        """
        from gemmahub_llamacpp.context import Context
        from gemmahub_llamacpp.model import LlamaModel
        from gemmahub_llamacpp.session import LlamaCppSession
        from gemmahub_llamacpp.vision import Vision

        started = perf_counter()
        path, gpus, checked = self._check(artifact, settings)
        engine.library()
        with engine.log.keep_all() as messages:
            model = LlamaModel(
                path,
                gpu_layers=checked.gpu_layers or 0,
                mmap=checked.options["mmap"],
                mlock=checked.options["mlock"],
                on_progress=on_progress,
            )
            try:
                chosen = choose(checked, model.context_trained)
                context = Context(model, chosen)
            except BaseException:
                model.close()
                raise
        used = in_effect(checked, context, chosen)
        device = _device(gpus if used.gpu_layers else (), chosen.threads)
        info = _info(model, context, used, device, perf_counter() - started)
        info = replace(info, memory=_allocated(model, messages))
        vision = Vision(
            artifact,
            model,
            context,
            threads=chosen.threads,
            gpu=bool(gpus) and used.gpu_layers != 0,
            wanted=used.options["images"] != "never",
        )
        session = LlamaCppSession(model, context, vision, info)
        if used.options["images"] == "load":
            _load_projector(session)
        return session

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """What llama.cpp would allocate for a GGUF file, of which the header is enough.

        Cells, weights and cache are exact; compute buffers are rounded to 0.01 MiB.

        Raises: LoadFailed, BackendMissing.
        """
        from gemmahub_llamacpp.dry_load import measure

        path, _, checked = self._check(artifact, settings)
        return measure(path, artifact.files or (path,), checked)

    def _check(
        self, artifact: Artifact, settings: Settings
    ) -> tuple[Path, tuple[str, ...], Settings]:
        """The file, the GPUs, and the settings with the gaps filled that need no model.

        Raises: LoadFailed, BackendMissing.
        """
        options = self._options(settings)
        check_settings(settings)
        path = artifact.files[0] if artifact.files else artifact.path
        if not path.is_file():
            raise LoadFailed(f"there is no file {path}", "look at `gemmahub list`")
        gpus = engine.gpu_names()
        layers = gpu_layers(settings, gpus)
        return path, gpus, replace(settings, gpu_layers=layers, options=options)

    def _options(self, settings: Settings) -> Mapping[str, Any]:
        options = self.check_options(settings)
        for option in self.options:
            value = options[option.name]
            if option.type is bool and not isinstance(value, bool):
                raise _wrong_option(option, value, "use true or false")
            if option.type is int and not _is_count(value):
                raise _wrong_option(option, value, "use a whole number of 0 or more")
        return options


def _load_projector(session: LlamaCppSession) -> None:
    """Raises: LoadFailed, BackendMissing."""
    try:
        session.load_projector()
    except BaseException as error:
        session.close()
        if isinstance(error, GenerationFailed):
            raise LoadFailed(error.message, error.hint) from None
        raise


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def _wrong_option(option: Option, value: object, hint: str) -> LoadFailed:
    return LoadFailed(f"{LlamaCppBackend.name}: {option.name} cannot be {value!r}", hint)


def check_settings(settings: Settings) -> None:
    """Raises: LoadFailed for what is wrong with every model."""
    for name in ("context", "threads", "ubatch", "parallel"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise LoadFailed(f"{name} cannot be {value}", "give a number of 1 or more")
        most = _MOST_CONTEXT if name == "context" else _MOST - 1
        if value is not None and value > most:
            raise LoadFailed(f"{name} cannot be {value:,}", f"give {most:,} or less")
    if settings.parallel != 1:
        raise LoadFailed(
            f"this backend gives one answer at a time, not {settings.parallel}", "use parallel 1"
        )
    for name in ("cache_type_k", "cache_type_v"):
        value = getattr(settings, name)
        if value not in CACHE_TYPES:
            raise LoadFailed(
                f"{name} cannot be {value!r}", f"choose one of {', '.join(CACHE_TYPES)}"
            )
    if settings.cache_type_v not in _FLOAT_TYPES and not settings.flash_attention:
        raise LoadFailed(
            f"a {settings.cache_type_v} cache for V needs flash attention",
            "switch flash attention on, or use f16 for V",
        )


def choose(settings: Settings, trained: int | None) -> ContextSettings:
    """The context to make, with the caller's gaps filled in; ``options`` have none any more.

    More context than the model was ``trained`` for is the caller's wish: llama.cpp allows it.
    """
    from gemmahub.hardware.cpu import compute_threads
    from gemmahub_llamacpp.context import ContextSettings

    return ContextSettings(
        cells=settings.context or min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
        ubatch=settings.ubatch,
        type_k=_NUMBERS[settings.cache_type_k],
        type_v=_NUMBERS[settings.cache_type_v],
        flash_attention=settings.flash_attention,
        threads=settings.threads or compute_threads(),
        swa_full=settings.options["swa_full"],
        outputs_max=settings.options["outputs_max"],
    )


def in_effect(settings: Settings, context: Context, chosen: ContextSettings) -> Settings:
    """The settings with the sizes as the engine rounded them."""
    return replace(settings, context=context.size, ubatch=context.ubatch, threads=chosen.threads)


def gpu_layers(settings: Settings, gpus: tuple[str, ...]) -> int:
    """Layers on the GPU: -1 is all of them.

    Raises: LoadFailed when layers are asked for and this build of llama.cpp sees no GPU.
    """
    if settings.gpu_layers is None:
        return -1 if gpus else 0
    if settings.gpu_layers and not gpus:
        raise LoadFailed(
            "GPU layers were asked for, but this build of llama.cpp sees no GPU",
            "use --gpu-layers 0, or reinstall llama-cpp-python for your GPU (see the README)",
        )
    return max(-1, settings.gpu_layers)


def _info(
    model: LlamaModel, context: Context, settings: Settings, device: str, seconds: float
) -> SessionInfo:
    """What was loaded."""
    return SessionInfo(
        engine=engine.engine_name(),
        context=context.size,
        context_trained=model.context_trained,
        chat_template=model.chat_template is not None,
        device=device,
        settings=settings,
        load_seconds=seconds,
        precision=model.precision,
    )


def _allocated(model: LlamaModel, messages: list[bytes]) -> tuple[DeviceUse, ...] | None:
    """What llama.cpp says it allocated; None where it words it differently.

    Figures as in a dry load; weights as the size of their buffers, rounded to 0.01 MiB.
    """
    from gemmahub_llamacpp.report import device_uses, output_bytes, read_report, snap

    try:
        report = read_report(text.decode("utf-8", "replace") for text in messages)
    except LoadFailed:
        return None
    weights = {device: snap(size, model.size_bytes) for device, size in report.weights.items()}
    return device_uses(report, weights, output_bytes(report, model.words))


def _device(gpus: tuple[str, ...], threads: int) -> str:
    return ", ".join(gpus) or f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def check() -> CheckResult:
    """The line of ``gemmahub doctor``. A missing engine is no failure: others may be here."""
    found = LlamaCppBackend().availability()
    if not found.ok:
        return CheckResult(LlamaCppBackend.name, "warning", found.reason, found.hint)
    from gemmahub.hardware.cpu import compute_threads

    cores = compute_threads()
    return CheckResult(
        LlamaCppBackend.name,
        "ok",
        f"{engine.DISTRIBUTION} {found.version}, {cores} core{'s' if cores > 1 else ''}",
    )
