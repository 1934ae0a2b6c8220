"""How fast a model is quantized, beside llama.cpp's own tool, in turns.

    python benchmarks/quantizing.py MODEL.gguf [--to Q4_0] [--tool llama-quantize] [--runs 3]

The time is that from the request until the file has its name: starting the engine's process,
reading back and writing to the disk are part of it; of the tool, until its process has ended. The
start takes as long for any model, so that it is measured by itself, and "ratio" is without it;
"work" is that ratio in processor seconds, which other programs do not change. Without the tool
only our times are printed. Where both are there, the tensors of both files are compared byte for
byte.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from gemmahub.engines.asking import devices_of
from gemmahub.engines.contract import Artifact
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import LocalFile
from gemmahub.hardware.cpu import compute_threads
from gemmahub.service import Library
from gemmahub.service.quantize_plan import plan_quantize
from gemmahub.service.quantize_records import QuantizeOptions
from gemmahub.service.quantizing import quantize


def ours(model: Path, label: str, target: Path) -> None:
    """One run of the use case."""
    library = Library()
    options = QuantizeOptions(to=label, output=target, lattice=False, force=True)
    quantize(library, plan_quantize(library, str(model), options))


def start() -> None:
    """What any call of the engine takes: a process, its plugins, the library."""
    library = Library()
    devices_of(library.choose(Artifact("gguf", Path()), needs="quantize").offer)


def tools(tool: str, model: Path, label: str, target: Path) -> None:
    """One run of llama-quantize with as many threads."""
    subprocess.run(
        [tool, "--allow-requantize", str(model), str(target), label, str(compute_threads())],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with target.open("rb+") as file:
        os.fsync(file.fileno())  # as gemmahub does


def tensors(path: Path) -> str:
    """The sha256 of all weights."""
    whole = hashlib.sha256()
    with LocalFile(path) as source:
        header = read_gguf(source)
        for tensor, offset in zip(header.tensors, header.offsets, strict=True):
            whole.update(source.read(header.data_offset + offset, tensor.bytes or 0))
    return whole.hexdigest()


def timed(run: object, *arguments: object) -> tuple[float, float]:
    """Seconds, and processor seconds of the processes that have ended."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    run(*arguments)  # type: ignore[operator]
    seconds, after = perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def middle(runs: list[tuple[float, float]]) -> tuple[float, float]:
    """Medians of both."""
    return median(each[0] for each in runs), median(each[1] for each in runs)


def main() -> None:
    """Print times and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--to", default="Q4_0")
    parser.add_argument("--tool", default="llama-quantize")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    tool = shutil.which(given.tool)
    with tempfile.TemporaryDirectory(dir=given.model.parent) as folder:
        made, theirs = Path(folder) / "ours.gguf", Path(folder) / "theirs.gguf"
        mine: list[tuple[float, float]] = []
        starts: list[tuple[float, float]] = []
        others: list[tuple[float, float]] = []
        ours(given.model, given.to, made)  # once without being counted: the file is in memory then
        for _ in range(given.runs):
            if tool is not None:
                others.append(timed(tools, tool, given.model, given.to, theirs))
            starts.append(timed(start))
            mine.append(timed(ours, given.model, given.to, made))
        (seconds, work), (begun, begin) = middle(mine), middle(starts)
        print(f"gemmahub        {seconds:6.2f} s, {work:.2f} s of processors")
        print(f"  of that start {begun:6.2f} s, {begin:.2f} s of processors")
        if tool is None:
            print(f"{given.tool} is not here: no ratio")
            return
        theirs_seconds, theirs_work = middle(others)
        print(f"llama-quantize  {theirs_seconds:6.2f} s, {theirs_work:.2f} s of processors")
        print(f"whole           {theirs_seconds / seconds:6.3f} of its speed")
        print(f"ratio           {theirs_seconds / (seconds - begun):6.3f}")
        print(f"work            {theirs_work / (work - begin):6.3f}")
        print(f"same bytes      {tensors(made) == tensors(theirs)}")


if __name__ == "__main__":
    main()
