"""The backend ``jax``: what it can do, and how it loads a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
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
    Sampling,
    SessionInfo,
    Settings,
)
from gemmahub.errors import GemmahubError, LoadFailed
from gemmahub.formats.source import LocalFile
from gemmahub.text import one_line
from gemmahub_jax import engine

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.reader import ModelFile
    from gemmahub_jax.families import Habits
    from gemmahub_jax.session import JaxSession
    from gemmahub_jax.settings import RunSettings
    from gemmahub_jax.shapes import ModelShape


class JaxBackend(Backend):
    """Runs Orbax checkpoints with Google's gemma library, inside this Python."""

    name: ClassVar[str] = engine.NAME
    formats: ClassVar[tuple[str, ...]] = ("orbax",)
    capabilities: ClassVar[frozenset[str]] = frozenset({"dry_load"})
    in_process: ClassVar[bool] = True
    priority: ClassVar[int] = 10
    checked_version: ClassVar[str] = engine.CHECKED_VERSION
    options: ClassVar[tuple[Option, ...]] = (
        Option("tokenizer", "The tokenizer.model to use, where none is beside it.", str, None),
    )

    def availability(self) -> Availability:
        """Whether the library is installed, in a Python that it runs on. Imports nothing of it."""
        return engine.availability()

    def loadable(self, header: ModelFile) -> Loadable:
        """Whether the checkpoint is of a family that this plugin runs."""
        if header.metadata.get("general.architecture"):
            return Loadable(True)
        return Loadable(
            False,
            "gemmahub-jax runs Gemma 1, 2 and 3, and this checkpoint is another model",
            "run this model with llama.cpp or MLX",
        )

    def devices(self) -> list[EngineDevice]:
        """The accelerator that JAX has a plugin for, and the processor. Imports nothing."""
        names = dict.fromkeys((engine.device(), engine.HOST))
        return [EngineDevice(name, engine.APIS[name]) for name in names]

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> JaxSession:
        """Load a checkpoint; nothing is fetched.

        Raises: LoadFailed, BackendMissing, GenerationFailed where the memory does not suffice.
        """
        from gemmahub_jax.model import build_model, load_weights
        from gemmahub_jax.session import JaxSession
        from gemmahub_jax.tokenizer import PieceTokenizer, find_tokenizer

        started = perf_counter()
        options = self.check_options(settings)
        header = _header(artifact)
        library = engine.library(host_only=settings.gpu_layers == 0)
        device = engine.PLATFORMS.get(library.jax.devices()[0].platform, engine.HOST)
        chosen = _chosen(header, settings, options, device)
        tokenizer = PieceTokenizer(
            find_tokenizer(header.folder, options["tokenizer"]), header.folder
        )
        _check_words(tokenizer.words, header.shape)
        model = build_model(library, header.shape, header.habits)
        params = load_weights(library, header.folder, header.shape, on_progress)
        info = SessionInfo(
            engine=engine.engine_name(),
            context=chosen.context,
            context_trained=header.habits.context or None,
            chat_template=tokenizer.chat_template is not None,
            device=engine.HOST if chosen.on_host else device,
            settings=chosen.settings,
            precision=header.label,
            images=False,
        )
        session = JaxSession(library, model, params, tokenizer, info)
        session.warm_up(Sampling())
        if on_progress is not None:
            on_progress(1.0)
        session.loaded_in(perf_counter() - started)
        return session

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """What JAX would hold when the context is full, by formula; the index is enough.

        Weights and the cache are exact; compute is an upper bound that was checked against what XLA
        says on a CPU, and not on GPUs and TPUs.

        Raises: LoadFailed.
        """
        header = _header(artifact)
        device = engine.device()
        return _answer(
            header, _chosen(header, settings, self.check_options(settings), device), device
        )


@dataclass(frozen=True, slots=True)
class CheckpointIndex:
    """What a checkpoint's index says, and what its family adds."""

    folder: Path
    shape: ModelShape
    habits: Habits
    label: str


def _header(artifact: Artifact) -> CheckpointIndex:
    """Raises: LoadFailed."""
    from gemmahub_jax.checkpoint import read_checkpoint
    from gemmahub_jax.families import CONFIG_KEYS, habits_of
    from gemmahub_jax.naming import tensors_of
    from gemmahub_jax.reader import config_beside, main_label
    from gemmahub_jax.shapes import shape_of

    folder = artifact.path
    try:
        tensors = tensors_of(read_checkpoint(folder, LocalFile).arrays)
    except LoadFailed:
        raise
    except GemmahubError as error:
        raise LoadFailed(error.message, error.hint) from None
    shape = shape_of(tensors)
    habits = habits_of(shape.architecture, shape.layers, shape.width, config_beside(folder))
    if habits is None:
        raise LoadFailed(
            f"{one_line(folder.name, 120)} is not a published Gemma model: {shape.layers} "
            f"layers of width {shape.width:,}; its sliding windows are unknown",
            f"put a config.json beside it, as Transformers has it, with {', '.join(CONFIG_KEYS)}",
        )
    return CheckpointIndex(folder, shape, habits, main_label(tensors) or "")


def _chosen(header: CheckpointIndex, settings: Settings, options: Any, device: str) -> RunSettings:
    from gemmahub_jax.settings import choose

    return choose(settings, options, header.shape, header.habits, device)


def _check_words(words: int, shape: ModelShape) -> None:
    if words > shape.vocabulary:
        raise LoadFailed(
            f"the tokenizer has {words:,} tokens, but the model has {shape.vocabulary:,}: it "
            "belongs to another model",
            "use the tokenizer.model of the same download",
        )


def _answer(header: CheckpointIndex, chosen: RunSettings, device: str) -> DryLoad:
    from gemmahub_jax.memory import plan

    where = engine.HOST if chosen.on_host else device
    memory = plan(header.shape, chosen.context, host=where == engine.HOST)
    use = DeviceUse(
        where,
        weights_bytes=memory.weights_bytes,
        kv_cache_bytes=memory.kv_cache_bytes,
        compute_bytes=memory.compute_bytes,
        output_bytes=memory.output_bytes,
    )
    return DryLoad(
        engine=engine.engine_name(),
        settings=chosen.settings,
        context=chosen.context,
        kv_cache_bytes=memory.kv_cache_bytes,
        kv_cache_global_bytes=memory.kv_cache_bytes,
        kv_cache_window_bytes=0,
        cells_global=memory.cells,
        cells_window=0,
        compute_bytes=memory.compute_bytes,
        output_bytes=memory.output_bytes,
        weights_bytes=memory.weights_bytes,
        flash_attention=chosen.settings.flash_attention,
        devices=(use,),
        basis="formula",
    )
