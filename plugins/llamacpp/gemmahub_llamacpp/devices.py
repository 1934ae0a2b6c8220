"""The devices that this build of llama.cpp can use: its own list, and a choice from it.

Source: ggml/include/ggml-backend.h of ggml-org/llama.cpp@0c1e57098; the binding has none of it.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from gemmahub.engines.contract import EngineDevice
from gemmahub.errors import LoadFailed
from gemmahub_llamacpp import engine

_CPU, _GPU, _INTEGRATED = 0, 1, 2  # enum ggml_backend_dev_type
_HOST: Final = "cpu"
_APIS: Final = {"mtl": "metal", "hip": "rocm"}


class _Properties(ctypes.Structure):
    """``struct ggml_backend_dev_props``; newer versions have more capabilities at its end."""

    _fields_: ClassVar = [
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("capabilities", ctypes.c_bool * 32),
    ]


@dataclass(frozen=True, slots=True)
class LlamaDevice:
    """A device with llama.cpp's pointer to it."""

    handle: int
    device: EngineDevice
    integrated: bool


def all_devices() -> list[LlamaDevice]:
    """The processor and the GPUs, in llama.cpp's order. Raises: BackendMissing."""
    shared = _functions(engine.library().llama_cpp._lib)
    found = []
    for index in range(shared.ggml_backend_dev_count()):
        handle, properties = shared.ggml_backend_dev_get(index), _Properties()
        shared.ggml_backend_dev_get_props(handle, ctypes.byref(properties))
        if properties.type in (_CPU, _GPU, _INTEGRATED):
            device = _described(properties)
            found.append(LlamaDevice(handle, device, properties.type == _INTEGRATED))
    return found


def _functions(shared: Any) -> Any:
    shared.ggml_backend_dev_count.restype = ctypes.c_size_t
    shared.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    shared.ggml_backend_dev_get.restype = ctypes.c_void_p
    shared.ggml_backend_dev_get_props.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    shared.ggml_backend_dev_get_props.restype = None
    return shared


def _described(properties: _Properties) -> EngineDevice:
    name = _text(properties.name)
    interface = re.match(r"[a-z]*", name.casefold())
    api = interface[0] if interface else ""
    return EngineDevice(
        name=name,
        api="cpu" if properties.type == _CPU else _APIS.get(api, api),
        description=_text(properties.description),
        hardware_id=_text(properties.device_id).lower(),
        total_bytes=properties.memory_total or None,
        free_bytes=properties.memory_free if properties.memory_total else None,
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def gpus(wanted: str = "", main: str | None = None) -> list[LlamaDevice]:
    """The GPUs that a model is put on: those that are ``wanted`` by name (``CUDA0``), PCI address
    or number (``cuda:0``), with commas between them; else those that llama.cpp takes by itself.
    ``main`` is the first of those that are wanted, else the only one; ``CPU`` is no GPU.

    Raises: LoadFailed for one that this build does not see.
    """
    if main is not None and main.casefold() == _HOST:
        return []
    there = [found for found in all_devices() if found.device.api != "cpu"]
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    chosen = [_named(name, there) for name in names]
    if main is not None:
        first = _named(main, there)
        return [first, *(found for found in chosen if found is not first)]
    return chosen or [found for found in there if not found.integrated] or there


def _named(name: str, there: list[LlamaDevice]) -> LlamaDevice:
    wanted = name.casefold()
    for found in there:
        own = found.device.name.casefold()
        if wanted in (own, found.device.hardware_id) or wanted.replace(":", "", 1) == own:
            return found
    seen = ", ".join(f"{f.device.name} {f.device.hardware_id}".strip() for f in there) or "none"
    raise LoadFailed(
        f"this build of llama.cpp finds no GPU {name!r}",
        f"leave out the option devices, or choose among: {seen}",
    )


def shown(found: LlamaDevice) -> str:
    """As ``CUDA0 (NVIDIA ...)``."""
    device = found.device
    return f"{device.name} ({device.description})" if device.description else device.name
