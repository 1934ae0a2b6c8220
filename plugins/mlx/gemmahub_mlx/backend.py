"""The backend ``mlx``: what it can do, and how it loads a model."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from gemmahub.engines.contract import (
    Artifact,
    Availability,
    Backend,
    DeviceUse,
    DryLoad,
    EngineDevice,
    Loadable,
    OnProgress,
    Option,
    SessionInfo,
    Settings,
)
from gemmahub.errors import LoadFailed
from gemmahub.text import one_line
from gemmahub_mlx import engine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gemmahub.engines.contract import DryQuantization, Quantization
    from gemmahub.formats.reader import ModelFile
    from gemmahub_mlx.header import ModelHeader
    from gemmahub_mlx.memory import MlxMemory
    from gemmahub_mlx.session import MlxSession
    from gemmahub_mlx.settings import Chosen


class MlxBackend(Backend):
    """Runs folders of safetensors with mlx-lm, inside this Python."""

    name: ClassVar[str] = engine.NAME
    formats: ClassVar[tuple[str, ...]] = ("mlx", "safetensors")
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"dry_load", "quantize", "thinking", "tools", "score", "score_at"}
    )
    in_process: ClassVar[bool] = True
    priority: ClassVar[int] = 10
    checked_version: ClassVar[str] = engine.CHECKED_VERSION
    options: ClassVar[tuple[Option, ...]] = (
        Option("hold_memory", "Evaluate prompts with the least memory; slower.", bool, False),
    )

    def availability(self) -> Availability:
        """Whether mlx-lm and a compiled part of MLX are installed. Imports nothing of them."""
        return engine.availability()

    def loadable(self, header: ModelFile) -> Loadable:
        """Whether mlx-lm knows how the weights are packed."""
        from gemmahub_mlx.layouts import mlx_loads

        return mlx_loads(header)

    def devices(self) -> list[EngineDevice]:
        """The GPU of MLX's compiled part, where it has one, and the processor. Imports nothing."""
        found = engine.device()
        names = dict.fromkeys((found, engine.HOST)) if found else ()
        return [EngineDevice(name, engine.APIS[name]) for name in names]

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> MlxSession:
        """Load a folder of safetensors; nothing is fetched, and no code of the folder is run.

        Raises: LoadFailed, BackendMissing.
        """
        from gemmahub.engines.folder_tokenizer import read_tokenizer
        from gemmahub_mlx.cache import PromptCache
        from gemmahub_mlx.model import load_weights, precision_label
        from gemmahub_mlx.session import MlxSession

        started = perf_counter()
        options = self._options(settings)
        folder = _folder(artifact)
        device = engine.device()
        header, chosen = _chosen(folder, settings, options, device)
        # Only what is held to a plan needs one: other models than Gemma load without it.
        memory = _planned(header, chosen, device) if chosen.held else None
        tokenizer = read_tokenizer(folder, header.config)
        library = engine.library()
        _use_device(library.core, chosen, device)
        before = int(library.core.get_active_memory())
        model = load_weights(library, folder, on_progress)
        info = SessionInfo(
            engine=engine.engine_name(),
            context=chosen.context,
            context_trained=header.context_length or None,
            chat_template=tokenizer.chat_template is not None,
            device=device if chosen.settings.gpu_layers else engine.HOST,
            settings=chosen.settings,
            load_seconds=perf_counter() - started,
            precision=precision_label(library, model),
            images=False,
        )
        limit = before + memory.weights_bytes + memory.kv_cache_bytes if memory else None
        cache = PromptCache(library, model, chosen.cache)
        return MlxSession(library, model, tokenizer, cache, info, limit)

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """What MLX would hold when the context is full, by formula; headers are enough.

        Weights and caches are exact. Compute is the most that was seen on a CPU, or with the
        option ``hold_memory`` within 10 % of the whole; on Metal and CUDA it was not measured.

        Raises: LoadFailed; BackendError where the architecture is not known.
        """
        device = engine.device() or engine.METAL  # without MLX here, a plan is for a Mac
        header, chosen = _chosen(_folder(artifact), settings, self._options(settings), device)
        memory = _planned(header, chosen, device)
        where = device if chosen.settings.gpu_layers else engine.HOST
        return _answer(chosen, memory, where)

    def dry_quantize(self, artifact: Artifact, wanted: Quantization) -> DryQuantization:
        """What :meth:`quantize` would write, to the byte. Raises: LoadFailed, BackendMissing."""
        from gemmahub_mlx.quantizing import dry_quantize

        return dry_quantize(engine.library(), _folder(artifact), wanted)

    def quantize(
        self, artifact: Artifact, wanted: Quantization, on_progress: OnProgress | None = None
    ) -> None:
        """Write a folder with packed weights, by mlx-lm. Raises: LoadFailed, BackendMissing."""
        from gemmahub_mlx.quantizing import quantize

        quantize(engine.library(), _folder(artifact), wanted, on_progress)

    def _options(self, settings: Settings) -> Mapping[str, Any]:
        options = self.check_options(settings)
        value = options["hold_memory"]
        if not isinstance(value, bool):
            raise LoadFailed(f"{self.name}: hold_memory cannot be {value!r}", "use true or false")
        return options


def _chosen(
    folder: Path, settings: Settings, options: Mapping[str, Any], device: str
) -> tuple[ModelHeader, Chosen]:
    from gemmahub_mlx.header import read_header
    from gemmahub_mlx.settings import choose

    header = read_header(folder)
    return header, choose(settings, options, header, device)


def _planned(header: ModelHeader, chosen: Chosen, device: str) -> MlxMemory:
    from gemmahub_mlx.memory import Run, plan

    metal = device == engine.METAL and chosen.settings.gpu_layers != 0
    run = Run(chosen.settings.ubatch, chosen.cache, held=chosen.held, metal=metal)
    return plan(header, chosen.context, run)


def _folder(artifact: Artifact) -> Path:
    """The folder of a model, also where one of its files names it."""
    path = artifact.path if artifact.path.is_dir() else artifact.path.parent
    if not artifact.path.exists() or not (path / "config.json").is_file():
        raise LoadFailed(
            f"there is no folder with a config.json at {one_line(str(artifact.path), 200)}",
            "name the folder of an MLX or safetensors model; see `gemmahub list`",
        )
    return path


def _use_device(core: Any, chosen: Chosen, device: str) -> None:
    """Choose the device; on Metal, let the model stay in memory as far as the system recommends."""
    if device != engine.HOST and chosen.settings.gpu_layers == 0:
        core.set_default_device(core.cpu)
        return
    recommended = core.device_info().get("max_recommended_working_set_size")
    if recommended:
        core.set_wired_limit(recommended)


def _answer(chosen: Chosen, memory: MlxMemory, device: str) -> DryLoad:
    return DryLoad(
        engine=f"{engine.DISTRIBUTION} {engine.version() or engine.CHECKED_VERSION}",
        settings=replace(chosen.settings, context=chosen.context),
        context=chosen.context,
        kv_cache_bytes=memory.kv_cache_bytes,
        kv_cache_global_bytes=memory.kv_global_bytes,
        kv_cache_window_bytes=memory.kv_window_bytes,
        cells_global=memory.cells_global,
        cells_window=memory.cells_window,
        compute_bytes=memory.compute_bytes,
        output_bytes=memory.output_bytes,
        weights_bytes=memory.weights_bytes,
        flash_attention=True,
        devices=(
            DeviceUse(
                device,
                weights_bytes=memory.weights_bytes,
                kv_cache_bytes=memory.kv_cache_bytes,
                compute_bytes=memory.compute_bytes,
                output_bytes=memory.output_bytes,
            ),
        ),
        basis="formula",
    )
