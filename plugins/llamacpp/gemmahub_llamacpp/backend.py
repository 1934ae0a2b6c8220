"""The backend ``llama.cpp``: what it can do, and how it loads a model."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from gemmahub.engines.contract import (
    Artifact,
    Availability,
    Backend,
    CheckResult,
    DeviceUse,
    DryLoad,
    EngineDevice,
    Loadable,
    OnProgress,
    Option,
    Quantization,
    Rounding,
    SessionInfo,
    Settings,
)
from gemmahub.errors import GenerationFailed, LoadFailed
from gemmahub.python_environment import install_command
from gemmahub_llamacpp import devices as found_devices
from gemmahub_llamacpp import engine
from gemmahub_llamacpp.guards import OTHER_FOLDER
from gemmahub_llamacpp.settings import (
    MOST,
    check_settings,
    context_settings,
    gpu_layers,
    in_effect,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gemmahub.formats.reader import ModelFile
    from gemmahub_llamacpp.context import Context, ContextSettings
    from gemmahub_llamacpp.model import LlamaModel
    from gemmahub_llamacpp.session import LlamaCppSession


class LlamaCppBackend(Backend):
    """Runs GGUF files with llama.cpp, inside this Python."""

    name: ClassVar[str] = "llama.cpp"
    formats: ClassVar[tuple[str, ...]] = ("gguf",)
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {
            "dry_load", "images", "tensor_split", "main_device", "experts_in_memory",
            "cache_in_memory", "thinking", "tools", "schema", "grammar", "adapters", "quantize",
            "importance", "score", "score_at",
        }
    )  # fmt: skip
    in_process: ClassVar[bool] = True
    priority: ClassVar[int] = 10
    checked_version: ClassVar[str] = engine.CHECKED_VERSION
    options: ClassVar[tuple[Option, ...]] = (
        Option("mmap", "Map the file instead of reading it into memory.", bool, True),
        Option("mlock", "Keep the weights from being swapped out.", bool, False),
        Option("swa_full", "Full-size cache for sliding-window layers.", bool, False),
        Option("outputs_max", "Rows of logits per batch; 0: one per token.", int, 1),
        Option(
            "images",
            "When to load the image projector: with the first image, with the model, or never.",
            default="first",
            choices=("first", "load", "never"),
        ),
        Option(
            "devices",
            "GPUs to use, by name (CUDA0) or PCI address, separated by commas "
            "[llama.cpp's choice].",
            default="",
        ),
    )

    def availability(self) -> Availability:
        """Whether llama-cpp-python is installed. Imports nothing of it."""
        version = engine.version()
        if not version or find_spec("llama_cpp") is None:
            command = install_command("gemmahub-llamacpp")
            hint = f"`{command}`; it compiles llama.cpp and needs a C++ compiler"
            return Availability(False, reason=f"{engine.DISTRIBUTION} is missing", hint=hint)
        known = version == engine.CHECKED_VERSION and not os.environ.get(OTHER_FOLDER)
        return Availability(True, version=version, commit=engine.CHECKED_COMMIT if known else "")

    def loadable(self, header: ModelFile) -> Loadable:
        """By what llama.cpp refuses of a header."""
        from gemmahub.engines.llama_files import llama_cpp_loads

        return llama_cpp_loads(header, lambda: self.availability().commit)

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> LlamaCppSession:
        """Load a GGUF file; of a split model, the first part.

        The projector comes with the first image, or now with the option ``images=load``.

        Raises: LoadFailed, BackendMissing.
        """
        from gemmahub_llamacpp.adapters import load_adapters, use_adapters
        from gemmahub_llamacpp.context import Context
        from gemmahub_llamacpp.model import LlamaModel
        from gemmahub_llamacpp.scoring import LlamaScorer
        from gemmahub_llamacpp.session import LlamaCppSession
        from gemmahub_llamacpp.vision import Vision

        started = perf_counter()
        path, gpus, checked = self._check(artifact, settings)
        with engine.log.keep_all() as messages:
            model = LlamaModel(
                path,
                name=artifact.shown_name,
                gpu_layers=checked.gpu_layers or 0,
                mmap=checked.options["mmap"],
                mlock=checked.options["mlock"],
                on_progress=on_progress,
                devices=_chosen(gpus, checked),
                tensor_split=checked.tensor_split,
                experts_in_memory=checked.experts_in_memory or 0,
            )
            try:
                chosen = context_settings(checked, model.context_trained)
                adapters = load_adapters(path, model, checked.adapters)

                def make(chosen: ContextSettings) -> Context:
                    context = Context(model, chosen)
                    use_adapters(context, adapters, checked.adapters)
                    return context

                context = make(chosen)
            except BaseException:
                model.close()
                raise
        used = in_effect(checked, context, chosen)
        device = _device(gpus if used.gpu_layers else [], chosen.threads)
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
        session = LlamaCppSession(model, context, vision, info, LlamaScorer(model, make, chosen))
        if used.options["images"] == "load":
            _load_projector(session)
        return session

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """What llama.cpp would allocate for a GGUF file, of which the header is enough.

        Cells, weights and cache are exact; compute buffers are rounded to 0.01 MiB.

        Raises: LoadFailed, BackendMissing.
        """
        from gemmahub_llamacpp.dry_load import measure

        if settings.adapters:
            raise LoadFailed("a dry load cannot include adapters", "use it without adapters")
        path, gpus, checked = self._check(artifact, settings)
        files, name = artifact.files or (path,), artifact.shown_name
        return measure(path, files, checked, _chosen(gpus, checked), name)

    def quantize(
        self, artifact: Artifact, wanted: Quantization, on_progress: OnProgress | None = None
    ) -> Rounding | None:
        """Write a GGUF file at another precision, with llama.cpp's own quantizer.

        Raises: LoadFailed, BackendMissing.
        """
        from gemmahub_llamacpp.quantizing import quantize

        return quantize(artifact.files[0] if artifact.files else artifact.path, wanted, on_progress)

    def make_importance(
        self, artifact: Artifact, text: str, target: Path, on_progress: OnProgress | None = None
    ) -> None:
        """Write an importance matrix in GGUF, as llama.cpp's ``llama-imatrix`` makes it.

        Raises: LoadFailed, BackendMissing.
        """
        from gemmahub_llamacpp.importance_making import make_importance

        path = artifact.files[0] if artifact.files else artifact.path
        make_importance(path, text, target, on_progress)

    def devices(self) -> list[EngineDevice]:
        """llama.cpp's own list: the processor and the GPUs that this build can use.

        Raises: BackendMissing.
        """
        return [found.device for found in found_devices.all_devices()]

    def _check(
        self, artifact: Artifact, settings: Settings
    ) -> tuple[Path, list[found_devices.LlamaDevice], Settings]:
        """The file, the GPUs, and the settings with the gaps filled that need no model.

        Raises: LoadFailed, BackendMissing.
        """
        options = self._options(settings)
        check_settings(settings)
        path = artifact.files[0] if artifact.files else artifact.path
        if not path.is_file():
            raise LoadFailed(f"there is no file {path}", "see `gemmahub list`")
        gpus = found_devices.gpus(options["devices"], settings.main_device)
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
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST


def _wrong_option(option: Option, value: object, hint: str) -> LoadFailed:
    return LoadFailed(f"{LlamaCppBackend.name}: {option.name} cannot be {value!r}", hint)


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


def _chosen(gpus: list[found_devices.LlamaDevice], settings: Settings) -> tuple[int, ...] | None:
    """llama.cpp's pointers to the GPUs that it is to use; None where it chooses by itself. Without
    a layer on them there are none: else it computes long prompts there, in memory that no plan
    has counted."""
    if not settings.gpu_layers:
        return ()
    told = settings.options["devices"] or settings.main_device
    return tuple(found.handle for found in gpus) if told else None


def _device(gpus: list[found_devices.LlamaDevice], threads: int) -> str:
    return (
        ", ".join(map(found_devices.shown, gpus))
        or f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    )


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
