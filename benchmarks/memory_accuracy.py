"""How far the memory formulas are from what llama.cpp allocates, and how long they take.

Run: ``python -m benchmarks.memory_accuracy`` (seconds) reads the tables that ``memory_table.py``
measured, one for each build that the formulas know; prints the worst and the median relative error
of the KV cache and of the compute buffer, and how far the builds lie apart.

``--server`` (minutes) also loads each Gemma size in the installed llama-server, from a sparse file
of full length without weights, and holds the plan against the buffers that its log names.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from math import prod
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.memory_table import DECODER_TABLES, TABLES, decoders, write_file
from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.engines.contract import Settings
from gemmahub.engines.program import start_program
from gemmahub.formats.detect import open_model
from gemmahub.formats.tensor import Tensor
from gemmahub.memory import MemoryArchitecture, MemorySettings, compute_buffers, kv_cache
from gemmahub.memory.builds import LIBRARY_BUILD, SERVER_BUILD, EngineBuild
from gemmahub.memory.gguf_architecture import from_gguf
from gemmahub.testing.decoder_writer import DECODERS, decoder_metadata, decoder_tensors
from gemmahub_llamaserver import arguments
from gemmahub_llamaserver.backend import LlamaServerBackend
from gemmahub_llamaserver.programs import find_build
from gemmahub_llamaserver.report import is_kept, read_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gemmahub.engines.contract import DeviceUse

BUILDS: Final = {LIBRARY_BUILD: TABLES["binding"], SERVER_BUILD: TABLES["server"]}
CATALOG: Final = {
    f"{m.architecture.name}-{m.architecture.size}": m.architecture for m in load_catalog().models
}
MODELS: Final = {name: memory_architecture(found) for name, found in CATALOG.items()}
OTHERS: Final = {
    LIBRARY_BUILD: DECODER_TABLES["binding"],
    SERVER_BUILD: DECODER_TABLES["server"],
}

Asked = tuple[str, MemorySettings]
"""A model and its settings."""

# Of a load by llama-server: context, cache type, ubatch, answers at once.
LOADS: Final = ((4096, "f16", 512, 1), (8192, "q8_0", 256, 1), (8192, "q4_0", 512, 2))


def kind(settings: MemorySettings) -> str:
    """The class of a setting: what its compute buffer is dominated by."""
    if settings.output_rows > 8:
        return "compute, a row of logits a token"
    if settings.flash_attention:
        return "compute, flash attention, at most 8 rows"
    return "compute, no flash attention, at most 8 rows"


def measured(table: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Model, settings and llama.cpp's answers, row by row."""
    for part in ("rows", "earlier"):
        for name, rows in table[part].items():
            for values in rows:
                row = dict(zip(table["columns"], values, strict=True))
                asked = {key: row[key] for key in table["columns"][:10]}
                yield name, MemorySettings(**asked), row


def other_models() -> dict[str, MemoryArchitecture]:
    """Of other families, and Gemma 1 and 2."""
    found = {}
    for name in decoders():
        keys, tensors = decoder_metadata(DECODERS[name]), decoder_tensors(DECODERS[name])
        read = from_gguf(keys, [Tensor(n, kind, s, prod(s), None) for n, s, kind in tensors])
        assert isinstance(read, MemoryArchitecture)
        found[name] = read
    return found


def formulas(
    build: EngineBuild, path: Path, models: Mapping[str, MemoryArchitecture]
) -> dict[Asked, int]:
    """Prints how far the formulas are off; gives the measured compute buffers by settings."""
    table = json.loads(path.read_text("utf-8"))
    errors: dict[str, list[float]] = defaultdict(list)
    seconds: list[float] = []
    found: dict[Asked, int] = {}
    for name, settings, row in measured(table):
        begin = time.perf_counter()
        cache = kv_cache(models[name], settings).bytes
        compute = compute_buffers(models[name], settings, build)
        seconds.append(time.perf_counter() - begin)
        errors["KV cache"].append(cache / row["kv_bytes"] - 1)
        errors[kind(settings)].append(compute.compute_bytes / row["compute_bytes"] - 1)
        errors["output buffer"].append(compute.output_bytes / row["output_bytes"] - 1)
        found[name, settings] = row["compute_bytes"]
    print(table["engine"])
    for name, values in sorted(errors.items()):
        sizes = [abs(error) for error in values]
        print(f"{name:46} {len(values):5} rows, worst {max(sizes):.4%}, median {median(sizes):.4%}")
    print(f"{median(seconds) * 1e3:.2f} ms a setting (median), {max(seconds) * 1e3:.1f} at most\n")
    return found


def between(library: dict[Asked, int], server: dict[Asked, int]) -> None:
    """Prints how far the compute buffers of the two builds lie apart."""
    apart: dict[str, list[float]] = defaultdict(list)
    for key, size in server.items():
        settings = key[1]
        small = ", ubatch below 128" if settings.ubatch < 128 else ""
        apart[kind(settings) + small].append(size / library[key] - 1)
    print(f"{SERVER_BUILD.name} against {LIBRARY_BUILD.name}")
    for name, values in sorted(apart.items()):
        print(
            f"{name:62} {min(values):+.1%} to {max(values):+.1%}, median {median(values):+.1%}, "
            f"{len(values)} rows"
        )


def buffers(path: Path, settings: Settings) -> DeviceUse:
    """What a llama-server with the plugin's own arguments says that it allocated on the host.

    Weights are not copied into another order (``--no-repack``): that takes as much again.
    """
    build = find_build()
    words = [
        *build.command,
        *arguments.words(build, path, settings, None, arguments.Beside()),
        "--no-repack",
    ]
    with start_program(
        lambda port: [*words, "--port", str(port)],
        ready=lambda program: any("model loaded" in line for line in program.log.lines),
        without=("LLAMA_*",),
        keep=is_kept,
    ) as program:
        (host,) = read_memory(program.log.lines) or ()
    return host


def load(name: str, path: Path, context: int, cache: str, ubatch: int, parallel: int) -> str:
    """A line of a table: what the log of a llama-server said, less the plan, in bytes."""
    types = {"cache_type_k": cache, "cache_type_v": cache}
    shared: dict[str, Any] = {"context": context, "ubatch": ubatch, "parallel": parallel, **types}
    options = {option.name: option.default for option in LlamaServerBackend.options}
    settings = arguments.filled_in(Settings(**shared, gpu_layers=0, options=options), None)
    host = buffers(path, settings)
    planned = MemorySettings(**shared, batch=ubatch, outputs_max=parallel)
    compute = compute_buffers(MODELS[name], planned, SERVER_BUILD)
    weights = sum(tensor.bytes or 0 for tensor in open_model(path).tensors)
    apart = (
        host.weights_bytes - weights,
        host.kv_cache_bytes - kv_cache(MODELS[name], planned).bytes,
        host.compute_bytes - compute.compute_bytes,
        host.output_bytes - compute.output_bytes,
    )
    sizes = " ".join(f"{size:+12,}" for size in apart)
    return f"{name:15} {context:6} {cache:5} {ubatch:6} {parallel:5} {sizes}"


def loads() -> None:
    """Prints what real loads take, model by model; buffers are logged in steps of 10,486 bytes."""
    heads = ("weights", "KV cache", "compute", "output")
    print("\nllama-server's log less the plan, in bytes (the log has MiB with two decimals)")
    print("model          tokens cache ubatch slots " + " ".join(f"{head:>12}" for head in heads))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        for name, architecture in CATALOG.items():
            write_file(architecture, path)
            for settings in LOADS:
                print(load(name, path, *settings), flush=True)
            path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", action="store_true", help="load each size in llama-server")
    asked = parser.parse_args()
    library, server = (formulas(build, path, MODELS) for build, path in BUILDS.items())
    between(library, server)
    print("\nother families, and Gemma 1 and 2")
    for build, path in OTHERS.items():
        formulas(build, path, other_models())
    if asked.server:
        loads()


if __name__ == "__main__":
    main()
