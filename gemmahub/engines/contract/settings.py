"""How a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter, and how strongly it counts."""

    path: Path
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """GPUs that one model is divided between: ``gpus`` in each of ``nodes`` machines.

    ``address`` is where an engine finds the machines (``ray://head:10001``), empty for this one.
    ``memory`` is the whole memory of each GPU in bytes, machine by machine; empty where nobody
    said it. A plan has it, a load does not need it.
    """

    gpus: int = 1
    nodes: int = 1
    address: str = ""
    memory: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is loaded. None means: the backend chooses, and says so in its session's info.

    ``context`` in tokens; ``gpu_layers`` counts layers on the accelerator (None: as many as there
    are, where there is one); ``threads`` are CPU threads; ``options`` are the backend's own.

    The others each need the capability of their name. ``drafter`` is a small model or head that
    drafts tokens for this one. ``tensor_split`` are shares of the engine's devices, in their order;
    ``main_device`` is one of them by the engine's name (``CUDA0``): the only one, or the one that
    leads. ``experts_in_memory`` counts the first layers, whose experts stay in system memory;
    with ``cache_in_memory`` keys and values stay there.
    ``remote_workers`` are ``HOST:PORT``. ``cluster`` are GPUs that hold a part of each layer, or
    some of the layers.
    """

    context: int | None = None
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attention: bool = True
    ubatch: int = 512
    parallel: int = 1
    gpu_layers: int | None = None
    threads: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    drafter: Path | None = None
    adapters: tuple[Adapter, ...] = ()
    tensor_split: tuple[float, ...] = ()
    main_device: str | None = None
    experts_in_memory: int | None = None
    cache_in_memory: bool = False
    remote_workers: tuple[str, ...] = ()
    cluster: Cluster | None = None
