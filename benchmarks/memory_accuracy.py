"""How far the memory formulas are from what llama.cpp allocates, and how long they take.

Run: ``python benchmarks/memory_accuracy.py`` (a second). Reads the table that ``memory_table.py``
measured; prints the worst and the median relative error of the KV cache and of the compute buffer.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.memory import MemorySettings, compute_buffers, kv_cache

TABLE = Path(__file__).parent / "data" / "memory-llamacpp-0.3.36.json"


def kind(settings: MemorySettings) -> str:
    """The class of a setting: what its compute buffer is dominated by."""
    if settings.output_rows > 8:
        return "compute, a row of logits a token"
    if settings.flash_attention:
        return "compute, flash attention, at most 8 rows"
    return "compute, no flash attention, at most 8 rows"


def main() -> None:
    models = {f"{m.architecture.name}-{m.architecture.size}": m for m in load_catalog().models}
    architectures = {
        name: memory_architecture(model.architecture) for name, model in models.items()
    }
    table = json.loads(TABLE.read_text("utf-8"))
    errors: dict[str, list[float]] = defaultdict(list)
    seconds = []
    for part in ("rows", "earlier"):
        for name, rows in table[part].items():
            for values in rows:
                row = dict(zip(table["columns"], values, strict=True))
                settings = MemorySettings(
                    **{key: row[key] for key in table["columns"][:10]},
                )
                begin = time.perf_counter()
                cache = kv_cache(architectures[name], settings).bytes
                compute = compute_buffers(architectures[name], settings)
                seconds.append(time.perf_counter() - begin)
                errors["KV cache"].append(cache / row["kv_bytes"] - 1)
                errors[kind(settings)].append(compute.compute_bytes / row["compute_bytes"] - 1)
                errors["output buffer"].append(compute.output_bytes / row["output_bytes"] - 1)
    print(table["engine"])
    for name, found in sorted(errors.items()):
        sizes = [abs(error) for error in found]
        print(f"{name:46} {len(found):5} rows, worst {max(sizes):.4%}, median {median(sizes):.4%}")
    print(f"{median(seconds) * 1e3:.2f} ms a setting (median), {max(seconds) * 1e3:.1f} at most")


if __name__ == "__main__":
    main()
