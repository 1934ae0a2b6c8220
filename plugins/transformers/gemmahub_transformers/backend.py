"""The backend ``transformers``: what it can do, and how it loads a model."""

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
from gemmahub_transformers import engine
from gemmahub_transformers.devices import HOST, choose_device, devices_of, expected_device
from gemmahub_transformers.engine import GGUF
from gemmahub_transformers.settings import AUTO, DTYPES, choose

if TYPE_CHECKING:
    from gemmahub.engines.folder_tokenizer import Tokenizer
    from gemmahub.formats.reader import ModelFile
    from gemmahub_transformers.engine import TorchModules
    from gemmahub_transformers.header import CheckpointHeader
    from gemmahub_transformers.memory import TorchMemory
    from gemmahub_transformers.session import TransformersSession
    from gemmahub_transformers.settings import TorchSettings


class TransformersBackend(Backend):
    """Runs folders of safetensors with Transformers and PyTorch, inside this Python."""

    name: ClassVar[str] = engine.NAME
    formats: ClassVar[tuple[str, ...]] = ("safetensors", "mlx", GGUF)
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"dry_load", "thinking", "tools", "score", "score_at", "main_device"}
    )
    in_process: ClassVar[bool] = True
    priority: ClassVar[int] = 5
    checked_version: ClassVar[str] = engine.CHECKED_VERSION
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "dtype",
            "Type to compute in; auto: the folder's own, float32 for GGUF.",
            str,
            AUTO,
            (AUTO, *DTYPES),
        ),
    )

    def availability(self) -> Availability:
        """Whether PyTorch and Transformers are installed. Imports nothing of them."""
        return engine.availability()

    def suits(self, artifact: Artifact) -> bool:
        """GGUF files are unpacked, which takes several times their size: only when named."""
        return artifact.format != GGUF

    def loadable(self, header: ModelFile) -> Loadable:
        """Whether Transformers knows how the weights are packed, and has what that needs."""
        from gemmahub_transformers.packings import transformers_loads

        return transformers_loads(header)

    def devices(self) -> list[EngineDevice]:
        """What PyTorch says of this machine. Raises: BackendMissing."""
        return devices_of(engine.library().torch)

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> TransformersSession:
        """Load a folder or a GGUF file; nothing is fetched, and no code of the folder is run.

        Raises: LoadFailed, BackendMissing.
        """
        from gemmahub_transformers.header import place_of, read_header
        from gemmahub_transformers.model import load_model, precision_label
        from gemmahub_transformers.session import TransformersSession

        started = perf_counter()
        options = self.check_options(settings)
        header = read_header(place_of(artifact))
        library = engine.library()
        names = [device.name for device in devices_of(library.torch)]
        device = choose_device(settings, names, library.torch)
        chosen = choose(settings, options, header, device)
        tokenizer = _tokenizer(library, header)
        if settings.threads is not None:
            library.torch.set_num_threads(settings.threads)
        model = load_model(library, header, chosen, on_progress)
        info = SessionInfo(
            engine=engine.engine_name(),
            context=chosen.context,
            context_trained=header.context_length or None,
            chat_template=tokenizer.chat_template is not None,
            device=device,
            settings=chosen.settings,
            load_seconds=perf_counter() - started,
            precision=precision_label(header, chosen),
            images=False,
        )
        return TransformersSession(library, model, tokenizer, info)

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """What PyTorch would hold when the context is full, by formula; headers are enough.

        Weights and caches are exact on plain weights. Compute was checked on a CPU; on GPUs it is
        calculated, and PyTorch's context on the GPU is not in it.

        Raises: LoadFailed; BackendError where the architecture is not known.
        """
        from gemmahub_transformers.header import place_of, read_header
        from gemmahub_transformers.memory import plan

        options = self.check_options(settings)
        header = read_header(place_of(artifact))
        device = choose_device(settings, list(dict.fromkeys((expected_device(), HOST))))
        chosen = choose(settings, options, header, device)
        return _answer(chosen, plan(header, chosen))


def _tokenizer(library: TorchModules, header: CheckpointHeader) -> Tokenizer:
    from gemmahub.engines.folder_tokenizer import read_tokenizer
    from gemmahub_transformers.gguf_tokenizer import read_gguf_tokenizer

    if header.gguf:
        return read_gguf_tokenizer(library, header)
    return read_tokenizer(header.path, header.config)


def _answer(chosen: TorchSettings, memory: TorchMemory) -> DryLoad:
    parts: dict[str, Any] = {
        "weights_bytes": memory.weights_bytes,
        "kv_cache_bytes": memory.kv_cache_bytes,
        "compute_bytes": memory.compute_bytes,
        "output_bytes": memory.output_bytes,
    }
    return DryLoad(
        engine=f"{engine.DISTRIBUTION} {engine.version() or engine.CHECKED_VERSION}",
        settings=replace(chosen.settings, context=chosen.context),
        context=chosen.context,
        kv_cache_global_bytes=memory.kv_global_bytes,
        kv_cache_window_bytes=memory.kv_window_bytes,
        cells_global=memory.cells_global,
        cells_window=memory.cells_window,
        flash_attention=chosen.fused,
        devices=(DeviceUse(chosen.device, **parts),),
        basis="formula",
        **parts,
    )
