"""What PyTorch computes on: CUDA or ROCm GPUs, Metal, the processor."""

from __future__ import annotations

import platform
import sys
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import EngineDevice
from gemmahub.errors import LoadFailed
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.engines.contract import Settings

HOST: Final = "CPU"
METAL: Final = "MPS"
CUDA: Final = "CUDA0"
ROCM: Final = "ROCm0"


def devices_of(torch: Any) -> list[EngineDevice]:
    """The devices that this build of PyTorch can use here, accelerators first."""
    found: list[EngineDevice] = []
    if torch.cuda.is_available():  # also the name that builds for ROCm have
        api = "rocm" if getattr(torch.version, "hip", None) else "cuda"
        found += [_gpu(torch, number, api) for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append(EngineDevice(METAL, "metal", "Apple GPU"))
    return [*found, EngineDevice(HOST, "cpu", one_line(platform.processor(), 80))]


def _gpu(torch: Any, number: int, api: str) -> EngineDevice:
    about = torch.cuda.get_device_properties(number)
    uuid = str(getattr(about, "uuid", "") or "")
    return EngineDevice(
        f"{'ROCm' if api == 'rocm' else 'CUDA'}{number}",
        api,
        one_line(str(about.name), 80),
        f"GPU-{uuid}" if uuid else "",
        int(about.total_memory),
    )


def torch_name(device: str) -> str:
    """``cuda:0`` of ``CUDA0`` and ``ROCm0``, ``mps``, ``cpu``."""
    if device in (HOST, METAL):
        return device.lower()
    return f"cuda:{device[len('CUDA') :]}"  # both names have four letters


def choose_device(settings: Settings, names: list[str], torch: Any = None) -> str:
    """The device for a model, by the settings: the first accelerator, unless they say otherwise.

    ``names`` are those of the devices that are here; ``torch`` says why one is not.

    Raises: LoadFailed for a device that is not here.
    """
    wanted, layers = settings.main_device, settings.gpu_layers
    if wanted is not None and wanted not in names:
        raise _not_here(f"the device {one_line(wanted, 40)}", names, torch)
    if wanted not in (None, HOST):
        return HOST if layers == 0 else str(wanted)
    others = [name for name in names if name != HOST]
    if wanted == HOST or layers == 0:
        if layers:
            raise LoadFailed(
                "GPU layers were requested together with the CPU as the device",
                "leave out --gpu-layers or the device",
            )
        return HOST
    if others:
        return others[0]
    if layers is not None:
        raise _not_here("a GPU", names, torch)
    return HOST


def _not_here(what: str, names: list[str], torch: Any) -> LoadFailed:
    return LoadFailed(
        f"{what} was requested, but PyTorch computes on {', '.join(names) or HOST} here"
        + (f": {why}" if (why := _why_no_gpu(torch)) else ""),
        "use --gpu-layers 0 for the CPU; for an NVIDIA GPU, `nvidia-smi` has to show it and "
        "PyTorch has to be a build for CUDA (pip's is one on Linux)",
    )


def _why_no_gpu(torch: Any) -> str:
    """What is wrong with CUDA here, as far as PyTorch says it."""
    if torch is None or sys.platform == "darwin":
        return ""
    if not (torch.version.cuda or getattr(torch.version, "hip", None)):
        return f"torch {torch.__version__} was built without CUDA"
    if torch.cuda.is_available():
        return ""
    built = torch.version.cuda or getattr(torch.version, "hip", "")
    return f"torch {torch.__version__} is built for CUDA {built}, and no usable driver answers"


@cache
def expected_device() -> str:
    """What PyTorch would compute on, told without importing it, for plans and ``doctor``.

    Without PyTorch here, what it could use of this machine.
    """
    if sys.platform == "darwin":
        return METAL if platform.machine() == "arm64" else HOST
    said = _build()
    if said is not None and said.get("hip"):
        return ROCM if Path("/dev/kfd").exists() else HOST
    if said is not None and not said.get("cuda"):
        return HOST
    return CUDA if _nvidia_gpus() else HOST


def _build() -> dict[str, Any] | None:
    """``cuda`` and ``hip`` of ``torch/version.py``, which a build writes; None without PyTorch.

    Source: pytorch/pytorch ``tools/generate_torch_version.py``.
    """
    with suppress(ImportError, ValueError, OSError):
        spec = find_spec("torch")
        places = spec.submodule_search_locations if spec is not None else None
        for place in places or ():
            lines = (Path(place) / "version.py").read_text("utf-8").splitlines()
            pairs = (line.partition("=") for line in lines)
            said = {
                name.split(":")[0].strip(): value.strip().strip("'") for name, _, value in pairs
            }
            return {name: said.get(name) not in (None, "", "None") for name in ("cuda", "hip")}
    return None


def _nvidia_gpus() -> int:
    """GPUs that NVIDIA's driver shows; 0 where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            return int(pynvml.nvmlDeviceGetCount())
        finally:
            pynvml.nvmlShutdown()
    except (pynvml.NVMLError, OSError):
        return 0
