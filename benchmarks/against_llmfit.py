"""gemmahub and llmfit side by side: memory against the engine's own figures, and time.

Run: ``uv run python -m benchmarks.against_llmfit LLMFIT`` (a minute), where ``LLMFIT`` is the
program of the package ``llmfit`` (``uv tool install llmfit``). Memory: Q4_K_M files with flash
attention, ubatch 512 and one row of logits; "engine" is the tensors' bytes and what llama.cpp
measured for that setting (``data/memory-llamacpp-0.3.36.json``). llmfit's figure is its minimum for
a GPU; its "gb" are taken for GiB (its cache for 27B at 32,768 tokens is 16.0 of them, 2^34 bytes).
Time: whole processes taking turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.catalog.records import StoredTypes
from gemmahub.catalog.tensors import tensors_by_layer
from gemmahub.memory import (
    MachineMemory,
    MemorySettings,
    plan_memory,
    weights_by_layer,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.recommend.records import DevicePlace

TABLE: Final = Path(__file__).parent / "data" / "memory-llamacpp-0.3.36.json"
GIB: Final = 1 << 30
ROUNDS: Final = 9
MODELS: Final = (
    "gemma-3-1b-it", "gemma-3-4b-it", "gemma-3-12b-it", "gemma-3-27b-it", "gemma-4-E2B-it",
    "gemma-4-E4B-it", "gemma-4-12B-it", "gemma-4-26B-A4B-it", "gemma-4-31B-it",
)  # fmt: skip


def llmfit_bytes(program: str, model: str, context: int, cache: str) -> float:
    """The least GPU memory that llmfit plans."""
    result = subprocess.run(
        [program, "--json", "plan", f"google/{model}", "--context", str(context),
         "--quant", "Q4_K_M", "--kv-quant", {"f16": "fp16"}.get(cache, cache)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(json.loads(result.stdout)["minimum"]["vram_gb"]) * GIB


def measured(table: dict[str, Any], key: str, context: int, cache: str) -> int | None:
    """Cache, compute and output buffers as llama.cpp allocated them; None: not in the table."""
    wanted = {
        "context": context, "ubatch": 512, "cache_type_k": cache, "cache_type_v": cache,
        "flash_attention": 1, "outputs_max": 1, "parallel": 1, "full_swa_cache": 0,
    }  # fmt: skip
    for values in table["rows"][key]:
        row = dict(zip(table["columns"], values, strict=True))
        if all(row[name] == value for name, value in wanted.items()):
            return int(row["kv_bytes"] + row["compute_bytes"] + row["output_bytes"])
    return None


def memory(program: str) -> None:
    """The table, and the errors of both."""
    table, catalog = json.loads(TABLE.read_text("utf-8")), load_catalog()
    errors: tuple[list[float], list[float]] = ([], [])
    print(f"{'model':20}{'context':>9} cache {'engine':>10}{'gemmahub':>20}{'llmfit':>20}")
    for name in MODELS:
        model = catalog.model(name)
        assert model is not None
        a = model.architecture
        tensors = tensors_by_layer(a, StoredTypes(mix="Q4_K_M"))
        weights = weights_by_layer(tensors.model, tensors.layers)
        for context in (8192, 32768, 131072):
            for cache in ("f16", "q8_0"):
                rest = measured(table, f"{a.name}-{a.size}", context, cache)
                if rest is None or context > a.context_length:
                    continue
                settings = MemorySettings(context, cache, cache)
                plan = plan_memory(
                    memory_architecture(a), weights, settings, MachineMemory((), 1, 1)
                )
                engine = weights.bytes + rest
                found = plan.total_bytes, llmfit_bytes(program, name, context, cache)
                cells = ""
                for size, kept in zip(found, errors, strict=True):
                    kept.append(size / engine - 1)
                    cells += f"{size / GIB:10.2f} {kept[-1]:+8.2%} "
                print(f"{name:20}{context:9,} {cache:5} {engine / GIB:10.2f}{cells}")
    for who, kept in zip(("gemmahub", "llmfit"), errors, strict=True):
        sizes = [abs(error) for error in kept]
        print(f"{who:9} {len(sizes)} rows, worst {max(sizes):.4%}, median {median(sizes):.4%}")


def speed(program: str) -> None:
    """Whole processes, in turns; what is compiled and remembered once is so before the first."""
    gemmahub = str(Path(sys.executable).parent / "gemmahub")
    commands = {
        "gemmahub recommend --json": [gemmahub, "recommend", "--json"],
        "llmfit --json recommend": [program, "--json", "recommend"],
        "python -c 'import click'": [sys.executable, "-c", "import click"],
    }
    compiled = {
        name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(ROUNDS + 1):
        for name, command in commands.items():
            begin = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True, env=compiled)
            if turn:
                times[name].append(time.perf_counter() - begin)
    ours, theirs, _ = (median(found) for found in times.values())
    for name, found in times.items():
        print(f"{name:28} {median(found):.3f} s (least {min(found):.3f})")
    print(f"ratio                        {ours / theirs:.2f}")


def work() -> None:
    """What recommending takes inside a process: here the first time and again, and of 41 machines
    the slowest, where every part of a model may lie in three places."""
    from gemmahub.planning.candidates import candidates_of
    from gemmahub.planning.model import places_of
    from gemmahub.recommend.alternatives import reasons_of
    from gemmahub.recommend.goals import Requirements, Use
    from gemmahub.recommend.ranking import recommend
    from gemmahub.service import Library
    from tests.recommend.experts import MACHINES, place_of

    hub = Library()
    installed, machine = hub.registry.installed().variants, hub.hardware(measure=True)

    def spent(places: Sequence[DevicePlace], use: str) -> float:
        begin = time.process_time()
        ranking = recommend(
            candidates_of(installed, hub.registry.catalog), places, Requirements(use)
        )
        for number, plan in enumerate(ranking.plans[:5]):
            reasons_of(ranking, number, ranking.largest_context(plan))
        return (time.process_time() - begin) * 1000

    for label in ("first", "again"):
        for use in (Use.CHAT, Use.LONG_CONTEXT):
            print(f"{label}, {use:12} {spent(places_of(machine), use):6.1f} ms of processor time")
    found = sorted((spent((place_of(each),), Use.CHAT), each["name"]) for each in MACHINES)
    slowest, name = found[-1]
    print(f"{len(found)} machines: median {found[len(found) // 2][0]:.1f} ms, {name} {slowest:.1f}")


def main() -> None:
    program = sys.argv[1] if len(sys.argv) > 1 else "llmfit"
    work()
    speed(program)
    memory(program)


if __name__ == "__main__":
    main()
