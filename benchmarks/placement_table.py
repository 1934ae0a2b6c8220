"""Asks llama.cpp what it would allocate where a part of a model stays in system memory.

Run: ``python benchmarks/placement_table.py LLAMA_CPP`` (Linux, g++, llama-cpp-python 0.3.36; two
minutes), where LLAMA_CPP is the source of llama.cpp that the installed llama-cpp-python was made of
(``vendor/llama.cpp`` in its source distribution). There need not be a GPU: stand_in_device.cpp has
devices for which llama.cpp reserves as it does for CUDA. Each model is a file with its true shapes
and no weights; for each placement the plugin's dry load is asked, and the bytes by device are
written to data/placements-llamacpp-0.3.36.json, which tests/memory/test_placements.py holds the
formula to. Without the source the table is read and its errors are printed.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.catalog.records import StoredTypes
from gemmahub.catalog.tensors import tensors_by_layer
from gemmahub.memory import MemorySettings, plan_memory, weights_by_layer
from gemmahub.memory.machine import DeviceMemory, MachineMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.catalog.records import Architecture
    from gemmahub.memory import MemoryPlan

HERE: Final = Path(__file__).parent
TABLE: Final = HERE / "data" / "placements-llamacpp-0.3.36.json"
TYPES: Final = StoredTypes(default="Q4_0", embedding="F16")
PARTS: Final = ("weights_bytes", "kv_cache_bytes", "compute_bytes")
COLUMNS: Final = (
    "devices", "context", "ubatch", "cache_type", "gpu_layers", "experts_in_memory",
    "cache_in_memory", "places",
)  # fmt: skip
GIB: Final = 1 << 30


def architectures() -> dict[str, Architecture]:
    """Each size of each family of the catalogue."""
    models = load_catalog().models
    return {f"{m.architecture.name}-{m.architecture.size}": m.architecture for m in models}


def settings(layers: int, *, experts: bool) -> Iterator[tuple[Any, ...]]:
    """What is asked of a model with so many layers: all columns but the last."""
    for devices in (1, 2):
        for context in (4096, 32768, 131072):
            for gpu_layers in (None, layers * 2 // 3, 1):
                yield devices, context, 512, "f16", gpu_layers, 0, False
            yield devices, context, 512, "f16", None, 0, True
            if experts:
                for count in (1, layers // 2, layers):
                    yield devices, context, 512, "f16", None, count, False
    yield 1, 32768, 512, "q8_0", layers // 2, 0, False
    yield 1, 32768, 16, "f16", layers // 2, 0, False
    yield 1, 32768, 128, "q4_0", None, 0, True
    yield 1, 8192, 0, "f16", 0, 0, False


def planned(a: Architecture, row: dict[str, Any]) -> MemoryPlan:
    """The plan by formula of a row."""
    tensors = tensors_by_layer(a, TYPES)
    weights = weights_by_layer(tensors.model, tensors.layers)
    sizes = [DeviceMemory(f"CUDA{i}", "cuda", 24 * GIB, 24 * GIB) for i in range(row["devices"])]
    machine = MachineMemory(tuple(sizes), 64 * GIB, 64 * GIB)
    ubatch, cache = row["ubatch"] or 512, row["cache_type"]
    chosen = MemorySettings(
        row["context"],
        cache,
        cache,
        ubatch=ubatch,
        batch=ubatch,
        gpu_layers=row["gpu_layers"],
        experts_in_memory=row["experts_in_memory"],
        cache_in_memory=row["cache_in_memory"],
    )
    return plan_memory(memory_architecture(a), weights, chosen, machine)


def measure(devices: int, library: Path) -> None:
    """Print a line of JSON for each row with so many devices."""
    from gemmahub.catalog.header import write_header
    from gemmahub.engines.contract import Artifact, Settings
    from gemmahub_llamacpp import engine
    from gemmahub_llamacpp.backend import LlamaCppBackend

    shared = engine.library().llama_cpp._lib
    stand_in = ctypes.CDLL(str(library))
    stand_in.stand_in_reg.restype = ctypes.c_void_p
    shared.ggml_backend_register.argtypes = [ctypes.c_void_p]
    shared.ggml_backend_register(stand_in.stand_in_reg())
    backend = LlamaCppBackend()
    with tempfile.TemporaryDirectory() as folder:
        for name, a in architectures().items():
            path = Path(folder, f"{name}.gguf")
            write_header(a, TYPES, path)
            known = memory_architecture(a)
            for values in settings(len(known.layers), experts=known.experts > 0):
                row = dict(zip(COLUMNS, values, strict=False))
                if row["devices"] != devices:
                    continue
                asked = Settings(
                    context=row["context"],
                    cache_type_k=row["cache_type"],
                    cache_type_v=row["cache_type"],
                    ubatch=row["ubatch"] or 512,
                    gpu_layers=row["gpu_layers"],
                    experts_in_memory=row["experts_in_memory"] or None,
                    cache_in_memory=row["cache_in_memory"],
                )
                dry = backend.dry_load(Artifact(path=path, format="gguf", files=(path,)), asked)
                places = {use.device: [getattr(use, p) for p in PARTS] for use in dry.devices}
                print(json.dumps([name, *values, places]), flush=True)
            path.unlink()


def make_table(source: Path) -> None:
    """Compile the stand-in, measure, and write the table."""
    import llama_cpp

    ours = Path(llama_cpp.__file__).parent / "lib"
    rows: dict[str, list[Any]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "libstand_in.so")
        include = [f"-I{source / 'ggml' / part}" for part in ("include", "src")]
        links = [f"-L{ours}", "-l:libggml-base.so", "-l:libggml-cpu.so"]
        compiler = ["g++", "-O1", "-shared", "-fPIC", "-std=c++17", *include]
        cpp = str(HERE / "stand_in_device.cpp")
        subprocess.run([*compiler, cpp, "-o", str(library), *links], check=True)
        for devices in (1, 2):
            environment = os.environ | {"STAND_IN_GIB": ",".join(["24"] * devices)}
            command = [sys.executable, __file__, "--measure", str(devices), str(library)]
            found = subprocess.run(
                command, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            for line in found.stdout.splitlines():
                name, *values = json.loads(line)
                rows[name].append(values)
    lines = [
        f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, found)) + "]"
        for name, found in rows.items()
    ]
    head = {
        "engine": "llama.cpp 0.3.36 (ggml-org/llama.cpp@0c1e57098), stand-in for CUDA",
        "columns": COLUMNS,
        "parts": PARTS,
    }
    text = json.dumps(head)[:-1] + ', "rows": {\n' + ",\n".join(lines) + "}}\n"
    TABLE.write_text(text, "utf-8")


def report() -> None:
    """Print how far the formula is from the table, above (+) and below (-)."""
    table = json.loads(TABLE.read_text("utf-8"))
    known = architectures()
    errors: dict[str, list[float]] = defaultdict(list)
    wrong = 0
    for name, rows in table["rows"].items():
        for values in rows:
            row = dict(zip(COLUMNS, values, strict=True))
            kind = "all on accelerators"
            if row["gpu_layers"] == 0:
                kind = "all on the host"
            elif row["gpu_layers"] is not None:
                kind = "layers on the host"
            elif row["cache_in_memory"]:
                kind = "cache on the host"
            elif row["experts_in_memory"]:
                kind = "experts on the host"
            for place in planned(known[name], row).places:
                device = "CPU" if place.device == "cpu" else place.device
                weights, cache, compute = row["places"].get(device, (0, 0, 0))
                wrong += (place.weights_bytes, place.kv_cache_bytes) != (weights, cache)
                if compute:
                    where = "host" if device == "CPU" else "accelerators"
                    errors[f"{kind}, {where}"].append(place.compute_bytes / compute - 1)
    print(table["engine"])
    print(f"places whose weights or cache are not exact: {wrong}")
    for kind, found in sorted(errors.items()):
        print(
            f"compute, {kind:36} {len(found):4} buffers, {min(found):+.1%} to {max(found):+.1%}, "
            f"median {median(found):+.1%}"
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--measure", count, library]:
            measure(int(count), Path(library))
        case [source]:
            make_table(Path(source))
            report()
        case _:
            report()
