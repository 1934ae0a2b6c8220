"""The backend ``gemma.cpp``: what it can do, and how the program is called."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

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
from gemmahub.errors import (
    BackendMissing,
    FormatError,
    IntegrityError,
    LoadFailed,
    NotFound,
    UsageError,
)
from gemmahub.text import one_line
from gemmahub_gemmacpp import memory
from gemmahub_gemmacpp.programs import CHECKED, GemmaProgram, find_program
from gemmahub_gemmacpp.reader import FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub_gemmacpp.config import ModelConfig
    from gemmahub_gemmacpp.reader import SbsModel
    from gemmahub_gemmacpp.session import GemmaCppSession

_DEVICE = "CPU"


class GemmaCppBackend(Backend):
    """Runs ``.sbs`` files with gemma.cpp's program, which computes on the processor alone."""

    name: ClassVar[str] = "gemma.cpp"
    formats: ClassVar[tuple[str, ...]] = (FORMAT,)
    capabilities: ClassVar[frozenset[str]] = frozenset({"dry_load"})
    in_process: ClassVar[bool] = False
    options: ClassVar[tuple[Option, ...]] = (
        Option("tokenizer", "Tokenizer file for models without one (tokenizer.spm)."),
    )

    def availability(self) -> Availability:
        """Whether there is such a program."""
        try:
            find_program()
        except (BackendMissing, UsageError) as error:
            return Availability(False, reason=error.message, hint=error.hint)
        return Availability(True, version="of unknown version")

    def devices(self) -> list[EngineDevice]:
        """The processor."""
        return [EngineDevice(_DEVICE, "cpu")]

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """What gemma.cpp would allocate, by the formula of its sources; nothing was measured.

        Raises: LoadFailed.
        """
        model, config, settings = self._checked(artifact, settings)
        context = memory.context_of(config, settings.context)
        found = memory.plan(config, model.weights_bytes, context, settings.ubatch)
        kv = found.kv_global_bytes + found.kv_window_bytes
        return DryLoad(
            engine=f"{self.name} (sources of {CHECKED})",
            settings=replace(settings, context=context),
            context=context,
            kv_cache_bytes=kv,
            kv_cache_global_bytes=found.kv_global_bytes,
            kv_cache_window_bytes=found.kv_window_bytes,
            cells_global=context if found.kv_global_bytes else 0,
            cells_window=context if found.kv_window_bytes else 0,
            compute_bytes=found.compute_bytes,
            output_bytes=found.output_bytes,
            weights_bytes=found.weights_bytes,
            flash_attention=True,
            devices=(
                DeviceUse(
                    _DEVICE, found.weights_bytes, kv, found.compute_bytes, found.output_bytes
                ),
            ),
            basis="formula",
        )

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> GemmaCppSession:
        """Check the file and the settings; the program itself is started for each answer.

        Raises: LoadFailed, BackendMissing.
        """
        from gemmahub_gemmacpp.session import GemmaCppSession, relayed

        program = find_program()
        options = self.check_options(settings)
        model, config, settings = self._checked(artifact, settings)
        if not model.has_tokenizer and not options["tokenizer"]:
            raise LoadFailed(
                f"{one_line(artifact.shown_name)} has no tokenizer",
                "choose its file: --option tokenizer=/path/to/tokenizer.spm",
            )
        settings = replace(settings, context=memory.context_of(config, settings.context))
        command = relayed(_words(program, artifact, settings, options))
        info = SessionInfo(
            engine=f"{self.name} ({one_line(program.path, 80)})",
            context=settings.context,
            context_trained=config.max_seq_len or None,
            chat_template=config.takes_turns,
            device=_DEVICE,
            settings=settings,
            precision=config.weight,
            images=False,
        )
        if on_progress is not None:
            on_progress(1.0)
        return GemmaCppSession(info, command, config)

    def _checked(
        self, artifact: Artifact, settings: Settings
    ) -> tuple[SbsModel, ModelConfig, Settings]:
        """The file, its configuration, and the settings in effect. Raises: LoadFailed."""
        from gemmahub.formats.source import LocalFile
        from gemmahub_gemmacpp.reader import read_sbs

        self.check_options(settings)
        try:
            with LocalFile(artifact.path) as source:
                model = read_sbs(source)
        except (FormatError, IntegrityError, NotFound) as error:
            raise LoadFailed(error.message, error.hint) from None
        if model.config is None or not model.config.layers:
            raise LoadFailed(
                f"{one_line(artifact.shown_name)} is from before 2025: it lacks its "
                "configuration, so it cannot be planned or run",
                "gemma.cpp's io/migrate_weights makes a single file of it and its tokenizer",
            )
        if settings.context is not None and settings.context < 1:
            raise LoadFailed(
                f"a context of {settings.context} tokens is invalid", "use a larger one"
            )
        if settings.gpu_layers:
            raise LoadFailed(
                f"{self.name} has no GPU: {settings.gpu_layers} layers cannot be placed on one",
                "leave out --gpu-layers, or use 0",
            )
        for name in ("cache_type_k", "cache_type_v"):
            if getattr(settings, name) not in ("f16", "f32"):
                raise LoadFailed(
                    f"{self.name} has no cache of the type {getattr(settings, name)}",
                    "leave out --cache-type: its cache uses 4 bytes per number",
                )
        if settings.parallel != 1:
            raise LoadFailed(f"{self.name} answers one at a time", "leave out --parallel")
        ubatch = min(settings.ubatch, memory.MOST_BATCH)
        in_effect = replace(
            settings, cache_type_k="f32", cache_type_v="f32", gpu_layers=0, ubatch=ubatch
        )
        return model, model.config, in_effect


def _words(
    program: GemmaProgram, artifact: Artifact, settings: Settings, options: Mapping[str, Any]
) -> list[str]:
    """The program and the arguments that do not change between answers; such as it does not know
    are left out."""
    words: dict[str, Any] = {
        "weights": artifact.path,
        "tokenizer": options["tokenizer"] or None,
        "verbosity": 1,  # 0 leaves out the counts
        "seq_len": settings.context,
        "prefill_tbatch": settings.ubatch,
        "to_bf16": 0,  # weights stay as they are stored
    }
    if settings.threads is not None:
        words["num_threads"] = settings.threads
    given = {name: value for name, value in words.items() if value is not None}
    known = [name for name in given if name in program.arguments]
    return [program.path, *(w for name in known for w in (f"--{name}", str(given[name])))]
