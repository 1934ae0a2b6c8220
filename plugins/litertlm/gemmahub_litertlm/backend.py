"""The backend ``litert-lm``: what it can do, and how it loads a bundle."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Final

from gemmahub.engines.contract import (
    Artifact,
    Availability,
    Backend,
    DeviceUse,
    DryLoad,
    EngineDevice,
    OnProgress,
    Option,
    SessionInfo,
    Settings,
)
from gemmahub.errors import FormatError, IntegrityError, LoadFailed, NotFound
from gemmahub.text import one_line
from gemmahub_litertlm import engine

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_litertlm.memory import BundleMemory
    from gemmahub_litertlm.reader import BundleModel
    from gemmahub_litertlm.session import LitertLmSession

_CPU: Final = "CPU"
_GPU: Final = "GPU"


class LitertLmBackend(Backend):
    """Runs ``.litertlm`` and ``.task`` bundles with Google's library for phones and desktops."""

    name: ClassVar[str] = engine.NAME
    formats: ClassVar[tuple[str, ...]] = ("litertlm", "task")
    capabilities: ClassVar[frozenset[str]] = frozenset({"dry_load"})
    in_process: ClassVar[bool] = True
    checked_version: ClassVar[str] = engine.CHECKED_VERSION
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "device",
            "Device: cpu, or gpu through WebGPU.",
            default="cpu",
            choices=("cpu", "gpu"),
        ),
    )

    def availability(self) -> Availability:
        """Whether litert-lm-api is installed. Imports nothing of it."""
        return engine.availability()

    def devices(self) -> list[EngineDevice]:
        """The processor; a GPU is used where the option ``device`` says so."""
        return [EngineDevice(_CPU, "cpu")]

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """Weights and caches as the bundle has them, buffers by the order of its graph; on a phone
        the same. See :mod:`gemmahub_litertlm.memory` for what is not counted.

        Raises: LoadFailed.
        """
        model, settings, found = self._checked(artifact, settings)
        assert found is not None
        device = _GPU if settings.options["device"] == "gpu" else _CPU
        weights = found.weights_bytes + (found.repack_bytes if device == _CPU else 0)
        return DryLoad(
            engine=f"{engine.DISTRIBUTION} {engine.version() or engine.CHECKED_VERSION}",
            settings=settings,
            context=settings.context or 0,
            kv_cache_bytes=found.kv_cache_bytes,
            kv_cache_global_bytes=found.kv_cache_bytes,
            kv_cache_window_bytes=0,
            cells_global=model.context,
            cells_window=0,
            compute_bytes=found.compute_bytes,
            output_bytes=found.output_bytes,
            weights_bytes=weights,
            flash_attention=settings.flash_attention,
            devices=(
                DeviceUse(
                    device, weights, found.kv_cache_bytes, found.compute_bytes,
                    found.output_bytes,
                ),
            ),
            basis="formula",
        )  # fmt: skip

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> LitertLmSession:
        """Load a bundle; nothing is written beside it.

        Raises: LoadFailed, BackendMissing.
        """
        from gemmahub_litertlm.session import LitertLmSession

        started = perf_counter()
        model, settings, _ = self._checked(artifact, settings, planned=False)
        library = engine.library()
        is_gpu = settings.options["device"] == "gpu"
        threads = settings.threads or os.cpu_count() or 1
        kinds = library.Backend
        try:
            loaded = library.Engine(
                str(artifact.path),
                backend=kinds.GPU() if is_gpu else kinds.CPU(thread_count=threads),
                max_num_tokens=settings.context,
                cache_dir=engine.NO_CACHE,
                enable_benchmark=True,
            )
        except (RuntimeError, ValueError) as error:
            raise LoadFailed(
                f"{engine.NAME} cannot load {one_line(artifact.shown_name, 120)}: "
                f"{one_line(str(error), 200)}",
                self._advice(model),
            ) from None
        if on_progress is not None:
            on_progress(1.0)
        info = SessionInfo(
            engine=f"{engine.DISTRIBUTION} {engine.version()}",
            context=settings.context,
            context_trained=model.context or None,
            chat_template=bool(model.metadata.template),
            device=_GPU if is_gpu else _CPU,
            settings=settings,
            load_seconds=perf_counter() - started,
            images=False,
        )
        return LitertLmSession(library, loaded, info)

    def _advice(self, model: BundleModel) -> str:
        only = {s.about.get("backend_constraint", "") for s in model.bundle.sections} - {""}
        if only:
            return f"it is made for {', '.join(sorted(only))}: use the model's general file"
        if model.metadata.least_version:
            return (
                f"it asks for LiteRT-LM {model.metadata.least_version}: {engine.how_to_install()}"
            )
        return "use another file of the model; GEMMAHUB_DEBUG=1 shows what the engine says"

    def _checked(
        self, artifact: Artifact, settings: Settings, *, planned: bool = True
    ) -> tuple[BundleModel, Settings, BundleMemory | None]:
        """The bundle, the settings in effect, and its memory. Raises: LoadFailed."""
        from gemmahub.formats.source import LocalFile
        from gemmahub_litertlm.reader import read_any

        options = self.check_options(settings)
        try:
            with LocalFile(artifact.path) as source:
                if not planned:
                    model, found = read_any(source), None
                else:
                    status = artifact.path.stat()
                    model, found = _planned(artifact.path, status.st_size, status.st_mtime_ns)
        except (FormatError, IntegrityError, NotFound) as error:
            raise LoadFailed(error.message, error.hint) from None
        self._check(settings, model)
        context = settings.context or model.context or None
        in_effect = replace(settings, context=context, gpu_layers=0, options=options)
        return model, in_effect, found

    def _check(self, settings: Settings, model: BundleModel) -> None:
        if settings.context is not None and settings.context < 1:
            raise LoadFailed(
                f"a context of {settings.context} tokens is invalid", "use a larger one"
            )
        if settings.context and model.context and settings.context > model.context:
            raise LoadFailed(
                f"the bundle was exported for {model.context:,} tokens, not {settings.context:,}",
                f"use --ctx-size {model.context} or less",
            )
        if settings.gpu_layers:
            raise LoadFailed(
                f"{self.name} does not split a model's layers", "use --option device=gpu, or 0"
            )
        if {settings.cache_type_k, settings.cache_type_v} - {"f16"}:
            raise LoadFailed(
                "the cache type of a bundle is fixed when it is exported",
                "leave out --cache-type",
            )
        if settings.parallel != 1:
            raise LoadFailed(f"{self.name} answers one at a time", "leave out --parallel")


@lru_cache(maxsize=2)
def _planned(path: Path, size: int, changed: int) -> tuple[BundleModel, BundleMemory]:
    """A bundle and its memory, which no setting changes: asked for several contexts in turn."""
    from gemmahub.formats.source import LocalFile
    from gemmahub_litertlm.memory import plan
    from gemmahub_litertlm.reader import read_any

    with LocalFile(path) as source:
        model = read_any(source)
        return model, plan(source, model)
