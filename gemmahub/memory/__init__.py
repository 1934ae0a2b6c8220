"""What a model takes of a machine's memory, part by part, before it is loaded.

Pure arithmetic: architecture and settings in, bytes out. Every formula names the llama.cpp build
that it was checked against; what was not measured is called an estimate.
"""

from gemmahub.memory.architecture import LayerShape, MemoryArchitecture, UnknownArchitecture
from gemmahub.memory.builds import EngineBuild, EngineRules, known_build, unknown_build
from gemmahub.memory.compute import ComputeBuffers, compute_buffers
from gemmahub.memory.config_architecture import from_config
from gemmahub.memory.gguf_architecture import from_gguf
from gemmahub.memory.kv_cache import KVCache, kv_cache
from gemmahub.memory.limits import experts_that_stay, largest_context, layers_that_fit
from gemmahub.memory.machine import DeviceMemory, Machine, MachineMemory
from gemmahub.memory.places import PART_NAMES, DevicePlan
from gemmahub.memory.plan import MemoryPlan, plan_memory
from gemmahub.memory.projector import ImageMemory, image_buffer_bytes
from gemmahub.memory.settings import ON_DEVICES, MemorySettings, Placement, check_split
from gemmahub.memory.stored import MODELLED_FORMATS, RECORD_VERSION, MemoryModel, packed, unpack
from gemmahub.memory.weight_sums import Weights
from gemmahub.memory.weights import weights_by_layer, weights_of

__all__ = [
    "MODELLED_FORMATS",
    "ON_DEVICES",
    "PART_NAMES",
    "RECORD_VERSION",
    "ComputeBuffers",
    "DeviceMemory",
    "DevicePlan",
    "EngineBuild",
    "EngineRules",
    "ImageMemory",
    "KVCache",
    "LayerShape",
    "Machine",
    "MachineMemory",
    "MemoryArchitecture",
    "MemoryModel",
    "MemoryPlan",
    "MemorySettings",
    "Placement",
    "UnknownArchitecture",
    "Weights",
    "check_split",
    "compute_buffers",
    "experts_that_stay",
    "from_config",
    "from_gguf",
    "image_buffer_bytes",
    "known_build",
    "kv_cache",
    "largest_context",
    "layers_that_fit",
    "packed",
    "plan_memory",
    "unknown_build",
    "unpack",
    "weights_by_layer",
    "weights_of",
]
