"""The backend ``vllm``: folders of safetensors, on one GPU, several, or several machines."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Final

from gemmahub.engines.contract import (
    Artifact,
    Availability,
    Backend,
    Cluster,
    DeviceUse,
    DryLoad,
    OnProgress,
    Option,
    SessionInfo,
    Settings,
)
from gemmahub.engines.program import Program, start_program
from gemmahub.errors import BackendMissing, LoadFailed, UsageError
from gemmahub_vllm import arguments
from gemmahub_vllm.header import folder_of, read_header
from gemmahub_vllm.programs import CHECKED_VERSION, VllmProgram, find_program
from gemmahub_vllm.web import client, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from gemmahub_vllm.memory import ClusterMemory, ServerRun
    from gemmahub_vllm.session import VllmSession

_LOAD_SECONDS: Final = 3600.0  # large models from a slow disk, and compiling
_ASK_SECONDS: Final = 30.0
_HEALTH_SECONDS: Final = 1.0
_PATIENCE: Final = 20.0
_USUAL_CONTEXT: Final = 8192


class VllmBackend(Backend):
    """Starts ``vllm serve`` on this machine alone; its workers may be elsewhere, through Ray."""

    name: ClassVar[str] = "vllm"
    formats: ClassVar[tuple[str, ...]] = ("safetensors",)
    capabilities: ClassVar[frozenset[str]] = frozenset({"cluster", "dry_load", "parallel", "serve"})
    in_process: ClassVar[bool] = False
    priority: ClassVar[int] = 5
    checked_version: ClassVar[str] = CHECKED_VERSION
    options: ClassVar[tuple[Option, ...]] = (
        Option("gpu_memory_utilization", "Share of a GPU's memory to use.", float,
               0.92),
        Option("max_num_batched_tokens", "Tokens per step; 0: vLLM's default.", int, 0),
        Option("quantization", "Quantization of the weights; empty: the model's own.", default=""),
        Option("enforce_eager", "No CUDA graphs: faster start, slower answers.", bool, False),
    )  # fmt: skip

    def availability(self) -> Availability:
        """Whether there is a program ``vllm``, and of which version; it is not started."""
        try:
            return Availability(True, version=find_program().version or "of an unknown version")
        except (BackendMissing, UsageError) as error:
            return Availability(False, reason=error.message, hint=error.hint)

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> VllmSession:
        """Start a server with a folder. Raises: LoadFailed, BackendMissing, BackendCrashed."""
        from gemmahub_vllm.session import VllmSession

        key = secrets.token_urlsafe(32)
        served = self._started(artifact, settings, key, on_progress)
        web = client(served.address, key)
        return VllmSession(served.info, web, served.name, served.program)

    def serve(self, artifact: Artifact, settings: Settings, key: str = "") -> VllmServed:
        """Serve a folder to other programs. Raises: LoadFailed, BackendMissing, BackendCrashed."""
        return self._started(artifact, settings, key, None)

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """What vLLM would hold on each GPU, by formula; headers are enough, vLLM is not needed.

        Weights and cache follow its rules; a step and CUDA's graphs are estimates.

        Raises: LoadFailed; BackendError where the architecture is not known.
        """
        from gemmahub_vllm.memory import cluster_memory, notes

        options = self._options(settings)
        header = read_header(folder_of(artifact))
        context = _context(settings, header.context_length)
        cluster = settings.cluster or Cluster()
        run = _run(settings, options, cluster)
        found = cluster_memory(header.known, header.tensors, cluster, run)
        said = notes(found, cluster, run, context)
        return _answer(found, settings, context, said)

    def _options(self, settings: Settings) -> Mapping[str, Any]:
        options = self.check_options(settings)
        if not 0 < options["gpu_memory_utilization"] <= 1:
            raise LoadFailed(
                "gpu_memory_utilization must be a share", "use a number from 0 to 1: 0.92"
            )
        if options["max_num_batched_tokens"] < 0:
            raise LoadFailed("max_num_batched_tokens cannot be negative", "use 0, or 2048")
        return options

    def _started(
        self, artifact: Artifact, settings: Settings, key: str, on_progress: OnProgress | None
    ) -> VllmServed:
        started = perf_counter()
        options = self._options(settings)
        folder = folder_of(artifact)
        trained = read_header(folder).context_length
        context = _context(settings, trained)
        build = _program()
        name = artifact.name or folder.name
        program = start_program(
            lambda port: arguments.words(
                build.path, folder, name, context, settings, options, port
            ),
            name="vllm",
            ready=_health(on_progress),
            ready_seconds=_LOAD_SECONDS,
            environment=arguments.environment(settings.cluster, key),
            without=("VLLM_API_KEY",),
            patience=_PATIENCE,
        )
        try:
            address = f"http://127.0.0.1:{program.port}"
            info = _info(address, key, build, name, replace(settings, options=options), trained)
        except BaseException:
            program.stop()
            raise
        info = replace(info, load_seconds=perf_counter() - started)
        if on_progress is not None:
            on_progress(1.0)
        return VllmServed(address, info, name, program)


@dataclass(frozen=True, slots=True)
class VllmServed:
    """A server of ours; see :class:`gemmahub.engines.contract.EngineServer`."""

    address: str
    info: SessionInfo
    name: str
    program: Program

    def close(self) -> None:
        """End it; twice is fine."""
        self.program.stop()


def _program() -> VllmProgram:
    try:
        return find_program()
    except UsageError as error:
        raise LoadFailed(error.message, error.hint) from None


def _health(on_progress: OnProgress | None) -> Callable[[Program], bool]:
    def ready(program: Program) -> bool:
        from gemmahub.http.limits import Limits

        if on_progress is not None:
            on_progress(0.0)
        with client(f"http://127.0.0.1:{program.port}", "", keep_alive=False) as web:
            return web.fetch("GET", "/health", limits=Limits(total=_HEALTH_SECONDS)).status == 200

    return ready


def _info(
    address: str, key: str, build: VllmProgram, name: str, settings: Settings, trained: int | None
) -> SessionInfo:
    """What the server says of what it loaded. Raises: LoadFailed."""
    from gemmahub.http.values import count_of, object_of, text_of

    entries = fetch(address, key, "/v1/models", _ASK_SECONDS).get("data")
    models = [object_of(entry) for entry in entries] if isinstance(entries, list) else []
    ours = [one for one in models if text_of(one.get("id")) == name]
    context = count_of(ours[0].get("max_model_len")) if ours else None
    if not context:
        raise LoadFailed("vLLM does not report what it loaded", "try another version of vLLM")
    cluster = settings.cluster or Cluster()
    where = f"{cluster.gpus} GPU{'s' * (cluster.gpus > 1)}" + (
        f" in each of {cluster.nodes} machines" if cluster.nodes > 1 else ""
    )
    if build.version.endswith("+cpu"):
        where = "CPU"
    return SessionInfo(
        engine=f"vLLM {build.version}".strip(),
        context=context,
        context_trained=trained,
        chat_template=True,
        device=where,
        settings=replace(settings, context=context * settings.parallel),
    )


def _context(settings: Settings, trained: int | None) -> int:
    """Tokens of one sequence."""
    whole = settings.context or min(trained or _USUAL_CONTEXT, _USUAL_CONTEXT) * settings.parallel
    return max(1, whole // settings.parallel)


def _run(settings: Settings, options: Mapping[str, Any], cluster: Cluster) -> ServerRun:
    from gemmahub_vllm.memory import default_run

    usual = default_run(cluster.memory)
    return replace(
        usual,
        utilization=options["gpu_memory_utilization"],
        batched=options["max_num_batched_tokens"] or usual.batched,
        sequences=settings.parallel,
        item_bytes=1 if arguments.cache_dtype(settings) == "fp8" else 2,
        eager=options["enforce_eager"],
    )


def _answer(
    found: ClusterMemory, settings: Settings, context: int, said: tuple[str, ...]
) -> DryLoad:
    """The cache counts what ``settings.parallel`` sequences take; vLLM makes it as large as it
    can."""
    blocks = found.cache.blocks(context) * settings.parallel + 1
    windows = sum(
        kind.blocks(context, found.cache.in_flight) for kind, _ in found.cache.groups if kind.window
    )
    caches = [gpu.bytes_per_block * blocks for gpu in found.gpus]
    window = [gpu.bytes_per_block * windows * settings.parallel for gpu in found.gpus]
    return DryLoad(
        engine="vLLM 0.33.0",
        settings=replace(settings, context=context * settings.parallel),
        context=context * settings.parallel,
        kv_cache_bytes=sum(caches),
        kv_cache_global_bytes=sum(caches) - sum(window),
        kv_cache_window_bytes=sum(window),
        cells_global=context,
        cells_window=0,
        compute_bytes=sum(gpu.step + gpu.graphs for gpu in found.gpus),
        output_bytes=0,
        weights_bytes=sum(gpu.weights.bytes for gpu in found.gpus),
        flash_attention=True,
        devices=tuple(
            DeviceUse(
                f"GPU{number}",
                weights_bytes=gpu.weights.bytes,
                kv_cache_bytes=cache,
                compute_bytes=gpu.step + gpu.graphs,
                overhead_bytes=gpu.context + gpu.total - gpu.budget,
            )
            for number, (gpu, cache) in enumerate(zip(found.gpus, caches, strict=True))
        ),
        basis="formula",
        notes=said,
    )
