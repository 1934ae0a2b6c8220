"""From settings to the arguments of ``llama-server``, exactly: it shall take what was planned.

Left to itself it takes far more: four slots, 8 GiB of prompt cache, up to 32 copies of the window
cache. Names change between releases, so each is looked for among those that the build has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.sampling import DEFAULT_MIN_P, DEFAULT_TOP_K, DEFAULT_TOP_P
from gemmahub.errors import LoadFailed
from gemmahub.formats.ggml_types import CACHE_TYPES
from gemmahub.memory.settings import DRAFTED_TOKENS, Placement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Adapter, EngineDevice, Settings
    from gemmahub_llamaserver.build import Build

DEFAULT_CONTEXT: Final = 8192
PING_SECONDS: Final = 5
"""How often a server says that it is still there while it computes."""

_MOST: Final = 2**31 - 1  # llama.cpp counts in 32 bits with a sign
_MOST_CONTEXT: Final = 2**24  # tokens; a mistyped number could take all memory of the machine
_MOST_LAYERS: Final = 512  # ``LLAMA_MAX_LAYERS``
_ALL: Final = "999"
_FLOAT_TYPES: Final = ("f32", "f16", "bf16")
_LOAD_MODES: Final = {
    (False, False): "none",
    (True, False): "mmap",
    (False, True): "mlock",
    (True, True): "mmap+mlock",
}


_PLAIN: Final = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if not loop.last %}{{ '\n\n' }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True, slots=True)
class Api:
    """How other programs ask a server: the model's name for them, and whether the file has a chat
    template."""

    name: str
    has_template: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """Files beside the model; ``draft_type`` is the drafter's ``--spec-type``."""

    projector: Path | None = None
    drafter: Path | None = None
    draft_type: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are there."""
        return tuple(path for path in (self.projector, self.drafter) if path is not None)


@dataclass(slots=True)
class _Words:
    """Arguments of a build, as far as it knows them."""

    known: frozenset[str]
    words: list[str] = field(default_factory=list)

    def add(self, names: str, value: object = None) -> bool:
        """Add the first of the names that the build has; whether there is one."""
        name = next((each for each in names.split() if each in self.known), None)
        if name is not None:
            self.words += [name] if value is None else [name, str(value)]
        return name is not None

    def demand(self, names: str, value: object = None) -> None:
        """Raises: LoadFailed when the build has none of the names."""
        if not self.add(names, value):
            raise LoadFailed(
                f"this llama-server has no {names.split()[0]}",
                "install a newer llama.cpp, or leave out that setting",
            )


def check_settings(settings: Settings) -> None:
    """Raises: LoadFailed for what is wrong with every model."""
    for name in ("context", "threads", "ubatch", "parallel"):
        value = getattr(settings, name)
        most = _MOST_CONTEXT if name == "context" else _MOST
        if value is not None and not 1 <= value <= most:
            raise LoadFailed(f"{name} cannot be {value:,}", f"give a number from 1 to {most:,}")
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
    if not 0 <= (settings.experts_in_memory or 0) <= _MOST_LAYERS:
        raise LoadFailed(
            f"experts_in_memory cannot be {settings.experts_in_memory}",
            f"give a number of layers from 0 to {_MOST_LAYERS}",
        )
    if any(not isfinite(adapter.scale) for adapter in settings.adapters):
        raise LoadFailed("the scale of an adapter is not a number", "write it as 0.5")
    if any(not isfinite(share) or share < 0 for share in settings.tensor_split):
        raise LoadFailed("a share of tensor_split is not a number of 0 or more", "write it as 3,1")
    for name in ("prompt_cache", "checkpoints"):
        value = settings.options[name]
        if not 0 <= value <= _MOST:
            raise LoadFailed(f"{name} cannot be {value:,}", "use a whole number of 0 or more")


def filled_in(settings: Settings, trained: int | None, embeds: bool = False) -> Settings:
    """The settings with the gaps filled in that the server would fill otherwise. A model that
    ``embeds`` reads a text in one step: it refuses longer ones."""
    from gemmahub.hardware.cpu import compute_threads
    from gemmahub.memory.kv_cache import padded

    context = settings.context or min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    return replace(
        settings,
        context=context,
        ubatch=padded(context // settings.parallel) if embeds else settings.ubatch,
        threads=settings.threads or compute_threads(),
    )


def words(
    build: Build,
    path: Path,
    settings: Settings,
    devices: Sequence[EngineDevice] | None,
    beside: Beside,
    api: Api | None = None,
    embeds: bool = False,
) -> list[str]:
    """The arguments but for the port. ``devices`` are those of the build where the settings name
    some, else None; ``api`` is what other programs ask it by, None where only we do. A model that
    ``embeds`` takes the mean over the tokens of a text, as EmbeddingGemma was trained to.

    Raises: LoadFailed for a setting that this build does not have, or a device that is not there.
    """
    found = _Words(build.arguments, ["--model", str(path), "--host", "127.0.0.1"])
    options = settings.options
    if settings.remote_workers:
        found.demand("--rpc", ",".join(settings.remote_workers))
    found.demand("--ctx-size", settings.context)
    found.demand("--parallel", settings.parallel)
    found.demand("--batch-size", settings.ubatch)  # a cancel waits for a batch
    found.demand("--ubatch-size", settings.ubatch)
    found.demand("--cache-type-k", settings.cache_type_k)
    found.demand("--cache-type-v", settings.cache_type_v)
    found.demand("--flash-attn", "on" if settings.flash_attention else "off")
    found.demand("--threads", settings.threads)
    found.add("--threads-batch", settings.threads)
    if options["swa_full"]:
        found.demand("--swa-full")
    if beside.projector is not None:
        found.demand("--mmproj", beside.projector)
    if beside.drafter is not None:
        _draft(found, settings, beside)
    for adapter in settings.adapters:
        _adapt(found, adapter)
    if embeds:
        found.demand("--embeddings --embedding")
        found.demand("--pooling", "mean")
    _load_mode(found, options["mmap"], options["mlock"])
    _place(found, settings, devices)
    _nothing_more(found, options["prompt_cache"], options["checkpoints"])
    if api is None:
        # Prompts are rendered here, within limits; the file's template would be run at the start.
        found.add("--chat-template", "chatml")
    else:
        _for_clients(found, api)
    return found.words


def _adapt(found: _Words, adapter: Adapter) -> None:
    path = str(adapter.path.absolute())
    scaled = adapter.scale != 1
    if wrong := next((sign for sign in (',":' if scaled else ',"') if sign in path), None):
        raise LoadFailed(
            f"llama-server accepts no adapter whose path has {wrong!r}",
            "give the file another name",
        )
    if scaled:
        found.demand("--lora-scaled", f"{path}:{adapter.scale:g}")
    else:
        found.demand("--lora", path)


def _for_clients(found: _Words, api: Api) -> None:
    """What a client that says nothing of it gets: Gemma's sampling, no thoughts, and the template
    of the file; a file without one gets a conversation as plain text, not ChatML."""
    found.add("--alias", api.name.replace(",", " "))
    found.add("--jinja")
    if not api.has_template:
        found.add("--chat-template", _PLAIN)
    found.add("--reasoning", "off")
    found.add("--temp --temperature", 1.0)
    found.add("--top-k", DEFAULT_TOP_K)
    found.add("--top-p", DEFAULT_TOP_P)
    found.add("--min-p", DEFAULT_MIN_P)
    found.add("--no-slots")


def _draft(found: _Words, settings: Settings, beside: Beside) -> None:
    """A drafter lies where the model lies: as a whole on the GPUs, or not at all."""
    found.demand("--spec-draft-model --model-draft", beside.drafter)
    found.demand("--spec-type", beside.draft_type)
    found.demand("--spec-draft-n-max", DRAFTED_TOKENS)
    found.demand("--spec-draft-type-k --cache-type-k-draft", settings.cache_type_k)
    found.demand("--spec-draft-type-v --cache-type-v-draft", settings.cache_type_v)
    layers = 0 if settings.gpu_layers == 0 else _ALL
    found.demand("--spec-draft-ngl --gpu-layers-draft", layers)


def _load_mode(found: _Words, mmap: bool, mlock: bool) -> None:
    if not found.add("--load-mode", _LOAD_MODES[mmap, mlock]):
        if not mmap:
            found.demand("--no-mmap")
        if mlock:
            found.demand("--mlock")
    found.add("--lazy-mode", "off")  # else tables of more than 4 GiB stay on the disk


def _nothing_more(found: _Words, prompt_cache: int, checkpoints: int) -> None:
    """What it would do or take by itself, which nobody planned."""
    found.add("--cache-ram", prompt_cache)
    found.add("--ctx-checkpoints --swa-checkpoints", checkpoints)
    found.add("--fit", "off")
    found.add("--no-warmup")
    found.add("--offline")
    found.add("--no-ui --no-webui")
    found.add("--sse-ping-interval", PING_SECONDS)
    found.add("--log-colors", "off")
    found.add("--verbosity --log-verbosity", 4)  # with the sizes of buffers


def _place(found: _Words, settings: Settings, devices: Sequence[EngineDevice] | None) -> None:
    """On which devices, and how much of it."""
    gpus = None if devices is None else [d.name for d in devices if d.api != "cpu"]
    chosen = _chosen(settings, gpus or [])
    if settings.gpu_layers and gpus is not None and not gpus:
        raise LoadFailed(
            "GPU layers were requested, but this llama-server finds no GPU",
            "use --gpu-layers 0, or install a llama.cpp for your GPU",
        )
    _placement(found, settings)
    if (
        settings.gpu_layers == 0
    ):  # else it computes long prompts there, in memory that nobody planned
        found.add("--device", "none")
    elif chosen:
        found.demand("--device", ",".join(chosen))
    if settings.tensor_split:
        found.demand("--tensor-split", ",".join(f"{share:g}" for share in settings.tensor_split))
        if settings.main_device is not None:
            found.demand("--main-gpu", (chosen or gpus or []).index(settings.main_device))


def _placement(found: _Words, settings: Settings) -> None:
    """The flags that a plan shows. Releases of 2025 know numbers of layers only, not ``all``."""
    layers = settings.gpu_layers
    chosen = Placement(
        None if layers is None or layers < 0 else layers,
        settings.experts_in_memory or 0,
        settings.cache_in_memory,
    )
    for flag in re.findall(r"--\S+(?: (?!--)\S+)?", " ".join(chosen.flags)):
        name, _, value = flag.partition(" ")
        found.demand(name, _ALL if value == "all" else value or None)


def _chosen(settings: Settings, gpus: Sequence[str]) -> list[str]:
    """The devices that the settings name, none where they name none. Raises: LoadFailed."""
    named = [name.strip() for name in settings.options["devices"].split(",") if name.strip()]
    wanted = [_named(name, gpus) for name in named]
    if settings.main_device is None:
        return wanted
    main = _named(settings.main_device, wanted or gpus)
    return wanted if settings.tensor_split else [main]


def _named(name: str, gpus: Sequence[str]) -> str:
    """As the engine names it: ``CUDA0``, also for ``cuda:0``."""
    wanted = name.casefold().replace(":", "", 1)
    for own in gpus:
        if own.casefold() == wanted:
            return own
    raise LoadFailed(
        f"this llama-server finds no device {name!r}",
        f"leave it out, or choose among: {', '.join(gpus) or 'none'}",
    )


def names_devices(settings: Settings) -> bool:
    """Whether the server has to be asked for its devices before it is started."""
    options: Any = settings.options
    return bool(settings.gpu_layers or options["devices"] or settings.main_device is not None)
